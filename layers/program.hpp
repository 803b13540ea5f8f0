#pragma once
// Program: the order in which a graph's layers run, cut into segments, and where every buffer lies.
//
// A segment is what one shard can run through without waiting for the others. Between segments stands one
// batch-coupled layer (BN) with its reduction. A graph without BN is a single segment: each shard goes
// forward and back on one worker, and its buffers belong to that worker. Only what crosses a segment is kept
// per shard.

#include <cstddef>
#include <vector>

#include "layers/as_size.hpp"
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

/// One step of a shard. What crosses a segment goes through main memory, so little does: a coupled layer's
/// input and the gradient of its output (stash_x, stash_dy: copied there by stores that leave the caches
/// alone). Its output, and what is cheap to make of that, is computed again in the backward pass (recompute).
struct Op {
  enum class Kind {
    load,
    forward,
    forward_partial,
    stash_x,
    recompute,
    combine,
    backward_partial,
    stash_dy,
    backward
  };
  Kind kind;
  int node;  ///< combine and load: a value
  bool operator==(const Op&) const = default;
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

  /// Whether passes go back, too.
  [[nodiscard]] bool is_training() const { return is_training_; }
  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
  [[nodiscard]] const Slot& activation(int value) const { return activations_[as_size(value)]; }
  [[nodiscard]] const Slot& gradient(Edge edge) const {
    return gradients_[as_size(edge.node * 2 + edge.input)];
  }
  /// Copies of a coupled layer's input and of its output's gradient, which later segments read instead; no
  /// bytes: there is none.
  [[nodiscard]] const Slot& stashed_x(int node) const { return stashed_x_[as_size(node)]; }
  [[nodiscard]] const Slot& stashed_dy(int node) const { return stashed_dy_[as_size(node)]; }
  [[nodiscard]] const Slot& saved(int node) const { return saved_[as_size(node)]; }
  [[nodiscard]] std::size_t worker_bytes() const { return worker_bytes_; }
  [[nodiscard]] std::size_t shard_bytes() const { return shard_bytes_; }

 private:
  void order(const GraphView& graph, bool training, bool spare_memory);
  /// Plans to compute a value again in the current segment, with what leads from a coupled layer to it; false
  /// if it has to be kept.
  bool recompute(const GraphView& graph, int value);
  void find_lifetimes(const GraphView& graph, bool training);
  void place(bool keep);

  bool is_training_ = false;
  std::vector<Segment> segments_;
  std::vector<Slot> activations_, gradients_, saved_, stashed_x_, stashed_dy_;
  std::size_t worker_bytes_ = 0, shard_bytes_ = 0;
};

}  // namespace normlab
