#include "layers/program.hpp"

#include <algorithm>

#include "layers/as_size.hpp"

namespace normlab {

namespace {

constexpr std::size_t kAlignment = 128;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Greedy by size: each buffer goes to the lowest offset that no buffer alive at the same time overlaps.
std::size_t assign_offsets(std::vector<Slot*> slots) {
  std::stable_sort(slots.begin(), slots.end(),
                   [](const Slot* a, const Slot* b) { return a->bytes > b->bytes; });
  std::vector<const Slot*> placed;  // by offset
  std::size_t end = 0;
  for (Slot* slot : slots) {
    std::size_t offset = 0;
    for (const Slot* other : placed) {
      const bool together = slot->first <= other->last && other->first <= slot->last;
      if (!together) continue;
      if (offset + slot->bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    slot->offset = offset;
    end = std::max(end, offset + slot->bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), slot,
                                   [](const Slot* a, const Slot* b) { return a->offset < b->offset; }),
                  slot);
  }
  return end;
}

}  // namespace

Program::Program(const Backend& backend, const GraphView& graph, bool training, bool keep)
    : is_training_(training) {
  const auto bytes = [&](int value) {
    const auto v = as_size(value);
    return aligned(backend.bytes(graph.shapes[v], graph.type, graph.layouts[v]));
  };
  activations_.resize(graph.shapes.size());
  for (std::size_t v = 0; v < activations_.size(); ++v) activations_[v].bytes = bytes(static_cast<int>(v));
  gradients_.resize(graph.nodes.size() * 2);
  saved_.resize(graph.nodes.size());
  stashed_x_.resize(graph.nodes.size());
  stashed_dy_.resize(graph.nodes.size());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    saved_[i].bytes = aligned(graph.nodes[i].layer->saved_bytes());
    for (std::size_t k = 0; k < graph.nodes[i].inputs.size(); ++k) {
      gradients_[i * 2 + k].bytes = bytes(graph.nodes[i].inputs[k]);
    }
    if (training && backend.spares_memory() && graph.nodes[i].layer->coupled() != nullptr) {
      stashed_x_[i].bytes = bytes(graph.nodes[i].inputs[0]);
      stashed_dy_[i].bytes = bytes(static_cast<int>(i) + 1);
    }
  }
  order(graph, training, backend.spares_memory());
  find_lifetimes(graph, training);
  place(keep);
}

bool Program::recompute(const GraphView& graph, int value) {
  const auto node = as_size(value) - 1;
  if (value == 0) return false;
  Layer& layer = *graph.nodes[node].layer;
  const Op op{Op::Kind::recompute, value - 1};
  std::vector<Op>& ops = segments_.back().ops;
  if (std::find(ops.begin(), ops.end(), op) != ops.end()) return true;
  const std::vector<int>& inputs = graph.nodes[node].inputs;
  const bool possible = layer.coupled() != nullptr ||
                        (layer.forward_is_cheap() && inputs.size() == 1 && recompute(graph, inputs.front()));
  if (possible) ops.push_back(op);
  return possible;
}

void Program::order(const GraphView& graph, bool training, bool spare_memory) {
  segments_.emplace_back();
  segments_.back().ops.push_back({Op::Kind::load, 0});
  const int count = static_cast<int>(graph.nodes.size());
  const auto end_segment = [&](int node, bool backward) {
    segments_.back().coupled = node;
    segments_.back().backward = backward;
    segments_.emplace_back();
  };
  for (int i = 0; i < count; ++i) {
    if (training && graph.nodes[as_size(i)].layer->coupled() != nullptr) {
      segments_.back().ops.push_back({Op::Kind::forward_partial, i});
      if (stashed_x(i).bytes > 0) segments_.back().ops.push_back({Op::Kind::stash_x, i});
      end_segment(i, false);
    }
    segments_.back().ops.push_back({Op::Kind::forward, i});
  }
  if (!training) return;
  for (int i = count - 1; i >= 0; --i) {
    const auto value = as_size(i) + 1;
    Layer& layer = *graph.nodes[as_size(i)].layer;
    if (layer.is_loss() || !graph.needs_grad[value]) continue;
    if (graph.consumers[value].size() > 1) segments_.back().ops.push_back({Op::Kind::combine, i + 1});
    for (const int input : graph.nodes[as_size(i)].inputs) {
      if (spare_memory && layer.backward_needs_x() && layer.coupled() == nullptr) recompute(graph, input);
    }
    if (layer.coupled() != nullptr) {
      segments_.back().ops.push_back({Op::Kind::backward_partial, i});
      if (stashed_dy(i).bytes > 0) segments_.back().ops.push_back({Op::Kind::stash_dy, i});
      end_segment(i, true);
    }
    segments_.back().ops.push_back({Op::Kind::backward, i});
  }
  if (graph.needs_grad[0] && graph.consumers[0].size() > 1) {
    segments_.back().ops.push_back({Op::Kind::combine, 0});
  }
}

void Program::find_lifetimes(const GraphView& graph, bool training) {
  int time = 0, segment_start = 0;
  const auto touch = [&](Slot& slot) {
    if (slot.first < 0) slot.first = time;
    slot.last = time;
  };
  const auto write = [&](Slot& slot) {
    touch(slot);
    slot.written = time;
  };
  const auto read = [&](Slot& slot) {
    touch(slot);
    if (slot.written < segment_start) slot.per_shard = true;  // other shards ran on this worker since
  };
  const auto read_gradients = [&](int value) {
    for (const Edge edge : graph.consumers[as_size(value)]) {
      read(gradients_[as_size(edge.node * 2 + edge.input)]);
    }
  };
  for (const Segment& segment : segments_) {
    segment_start = time;
    for (const Op& op : segment.ops) {
      const auto node = as_size(op.node);
      const bool computes_y = op.kind == Op::Kind::forward || op.kind == Op::Kind::recompute;
      const bool goes_forward = computes_y || op.kind == Op::Kind::forward_partial;
      if (op.kind == Op::Kind::load) {
        write(activations_[0]);
      } else if (op.kind == Op::Kind::combine) {
        read_gradients(op.node);
      } else if (op.kind == Op::Kind::stash_x) {
        read(activations_[as_size(graph.nodes[node].inputs[0])]);
        write(stashed_x_[node]);
      } else if (op.kind == Op::Kind::stash_dy) {
        read_gradients(op.node + 1);
        write(stashed_dy_[node]);
      } else {
        const Layer& layer = *graph.nodes[node].layer;
        const std::vector<int>& inputs = graph.nodes[node].inputs;
        const bool writes_dx = op.kind == Op::Kind::backward || (training && layer.is_loss());
        if (stashed_dy(op.node).bytes > 0 && op.kind == Op::Kind::backward) {
          read(stashed_dy_[node]);
        } else if (!goes_forward) {
          read_gradients(op.node + 1);
        }
        for (std::size_t k = 0; k < inputs.size(); ++k) {
          const auto input = as_size(inputs[k]);
          if (stashed_x(op.node).bytes > 0 && op.kind != Op::Kind::forward_partial) {
            read(stashed_x_[node]);
          } else if (goes_forward || layer.backward_needs_x()) {
            read(activations_[input]);
          }
          if (writes_dx && graph.needs_grad[input]) write(gradients_[node * 2 + k]);
        }
        if (computes_y) {
          if (!layer.is_loss()) write(activations_[node + 1]);
          write(saved_[node]);
        } else if (!goes_forward) {
          if (layer.backward_needs_y()) read(activations_[node + 1]);
          if (op.kind == Op::Kind::backward) read(saved_[node]);
        }
      }
      ++time;
    }
  }
}

void Program::place(bool keep) {
  std::vector<Slot*> worker, shard;
  for (std::vector<Slot>* slots : {&activations_, &gradients_, &saved_, &stashed_x_, &stashed_dy_}) {
    for (Slot& slot : *slots) {
      if (slot.first < 0) slot.bytes = 0;  // never used
      if (slot.bytes == 0) continue;
      if (keep) {
        slot.per_shard = true;
        slot.first = 0;
        slot.last = 1 << 30;
      }
      (slot.per_shard ? shard : worker).push_back(&slot);
    }
  }
  worker_bytes_ = assign_offsets(worker);
  shard_bytes_ = assign_offsets(shard);
}

}  // namespace normlab
