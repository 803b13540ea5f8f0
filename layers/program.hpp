#pragma once
// Program: the order in which a graph's layers run, cut into segments, and where every buffer lies.
//
// A segment is what one shard can run through without waiting for the others. Between segments stands one
// batch-coupled layer (BN) with its reduction. A graph without BN is a single segment: each shard goes
// forward and back on one worker, and its buffers belong to that worker. Only what crosses a segment is kept
// per shard.

#include <cstddef>
#include <vector>

#include "layers/layer.hpp"

namespace normlab {

/// A layer in the graph. Node i produces value i + 1; value 0 is the input.
struct Node {
  std::unique_ptr<Layer> layer;
  std::vector<int> inputs;  ///< values
};

/// The gradient that one node sends to one of its inputs.
struct Edge {
  int node, input;
};

/// One step of a shard. The output of a coupled layer is not kept from forward to backward: reading its input
/// again, which the backward pass does anyway, and computing it anew costs less than the memory traffic.
struct Op {
  enum class Kind { load, forward, forward_partial, recompute, combine, backward_partial, backward };
  Kind kind;
  int node;  ///< combine and load: a value
};

struct Segment {
  std::vector<Op> ops;
  int coupled = -1;  ///< node to reduce after every shard is done; -1: none
  bool backward = false;
};

/// Where a buffer lies: an offset in the worker's arena or, when it outlives a segment, in the shard's.
struct Slot {
  std::size_t bytes = 0;
  std::size_t offset = 0;
  bool per_shard = false;
  int first = -1, last = -1;  ///< lifetime, in ops
  int written = -1;           ///< the last op that filled it
};

/// What the planner needs to know of a graph.
struct GraphView {
  const std::vector<Node>& nodes;
  std::vector<Shape> shapes;                 ///< of each value, n = shard samples
  std::vector<Layout> layouts;               ///< of each value
  std::vector<bool> needs_grad;              ///< of each value
  std::vector<std::vector<Edge>> consumers;  ///< of each value
  DataType type = DataType::f32;             ///< of all values and their gradients
};

class Program {
 public:
  Program() = default;
  /// keep: every buffer stays until the next pass, per shard (for diagnostics and tests).
  Program(const Backend& backend, const GraphView& graph, bool training, bool keep);

  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
  [[nodiscard]] const Slot& activation(int value) const {
    return activations_[static_cast<std::size_t>(value)];
  }
  [[nodiscard]] const Slot& gradient(Edge edge) const {
    return gradients_[static_cast<std::size_t>(edge.node * 2 + edge.input)];
  }
  [[nodiscard]] const Slot& saved(int node) const { return saved_[static_cast<std::size_t>(node)]; }
  [[nodiscard]] std::size_t worker_bytes() const { return worker_bytes_; }
  [[nodiscard]] std::size_t shard_bytes() const { return shard_bytes_; }

 private:
  void order(const GraphView& graph, bool training);
  void find_lifetimes(const GraphView& graph, bool training);
  void place(bool keep);

  std::vector<Segment> segments_;
  std::vector<Slot> activations_, gradients_, saved_;
  std::size_t worker_bytes_ = 0, shard_bytes_ = 0;
};

}  // namespace normlab
