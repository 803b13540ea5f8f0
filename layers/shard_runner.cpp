#include "layers/shard_runner.hpp"

#include "layers/kernels/add.hpp"
#include "layers/kernels/images.hpp"
#include "layers/range.hpp"

namespace normlab {

namespace {

/// What an op's time counts as; an op without dx computes the gradients of parameters alone.
Phase phase_of(const Op& op, const Layer& layer, bool writes_dx) {
  const bool goes_forward = op.kind == Op::Kind::forward || op.kind == Op::Kind::forward_partial;
  if (layer.is_norm()) return goes_forward ? Phase::norm_forward : Phase::norm_backward;
  if (goes_forward || op.kind == Op::Kind::recompute) return Phase::forward;
  return writes_dx ? Phase::backward_data : Phase::backward_weights;
}

}  // namespace

Tensor ShardRunner::tensor(const Slot& slot, int value, const Shard& shard) const {
  if (slot.bytes == 0) return {};
  const auto v = as_size(value);
  return {memory_.at(slot, shard.number, shard.worker), view_.shapes[v].with_n(shard.samples), view_.type,
          view_.layouts[v]};
}

Tensor ShardRunner::gradient(int value, const Shard& shard) const {
  const std::vector<Edge>& edges = view_.consumers[as_size(value)];
  return edges.empty() ? Tensor{} : tensor(program_.gradient(edges.front()), value, shard);
}

void ShardRunner::run(const Op& op, const Batch& batch, const Shard& shard) const {
  if (op.kind == Op::Kind::load) {
    const Range range(backend_, "images");
    load(batch, shard);
    lap(shard, Profile::kStep, Phase::data);
    return;
  }
  if (op.kind == Op::Kind::combine) {
    const int maker = op.node - 1;  // of the value
    const Range range(backend_, maker < 0 ? "images" : view_.nodes[as_size(maker)].layer->name());
    combine(op.node, shard);
    lap(shard, maker, Phase::backward_data);
    return;
  }
  const Range range(backend_, view_.nodes[as_size(op.node)].layer->name());
  if (op.kind == Op::Kind::stash_x) {
    const int value = view_.nodes[as_size(op.node)].inputs.front();
    backend_.stash(tensor(program_.activation(value), value, shard),
                   tensor(program_.stashed_x(op.node), value, shard));
    lap(shard, op.node, Phase::norm_forward);
    return;
  }
  if (op.kind == Op::Kind::stash_dy) {
    const int value = op.node + 1;
    backend_.stash(gradient(value, shard), tensor(program_.stashed_dy(op.node), value, shard));
    lap(shard, op.node, Phase::norm_backward);
    return;
  }
  run_layer(op, batch, shard);
}

void ShardRunner::load(const Batch& batch, const Shard& shard) const {
  const Tensor x = tensor(program_.activation(0), 0, shard);
  if (batch.images != nullptr) {
    backend_.get<ImageKernels>().load({batch.images, batch.indices + shard.first_sample, batch.augmentation,
                                       batch.epoch, batch.mean, batch.std, x});
  } else if (batch.values != nullptr) {
    backend_.upload(batch.values + as_size(shard.first_sample) * x.shape.per_sample(), x);
  } else {
    throw Error("Graph: the batch has neither images nor values");
  }
}

/// Adds up what the readers of a value sent back.
void ShardRunner::combine(int value, const Shard& shard) const {
  const std::vector<Edge>& edges = view_.consumers[as_size(value)];
  const Tensor sum = gradient(value, shard);
  for (std::size_t e = 1; e < edges.size(); ++e)
    backend_.get<AddKernels>().forward(sum, tensor(program_.gradient(edges[e]), value, shard), sum);
}

Frame ShardRunner::frame_of(const Op& op, const Batch& batch, const Shard& shard) const {
  const Node& node = view_.nodes[as_size(op.node)];
  Frame frame;
  frame.worker = shard.worker;
  frame.shard = shard.number;
  frame.training = program_.is_training();
  frame.profile = profile_;
  frame.batch = &batch;
  frame.first_sample = shard.first_sample;
  frame.scratch = memory_.scratch(shard.worker);
  frame.results = memory_.results();
  frame.node = op.node;
  const bool is_partial = op.kind == Op::Kind::forward_partial || op.kind == Op::Kind::backward_partial;
  const bool goes_back = op.kind == Op::Kind::backward || op.kind == Op::Kind::backward_partial;
  const bool writes_dx = op.kind == Op::Kind::backward || (frame.training && node.layer->is_loss());
  // The stashed copies stand in for what an earlier segment made.
  const Slot& stashed_x = program_.stashed_x(op.node);
  const bool reads_stash = op.kind != Op::Kind::forward_partial && stashed_x.bytes > 0;
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    const int value = node.inputs[k];
    frame.x[k] = tensor(reads_stash ? stashed_x : program_.activation(value), value, shard);
    if (writes_dx && view_.needs_grad[as_size(value)])
      frame.dx[k] = tensor(program_.gradient({op.node, static_cast<int>(k)}), value, shard);
  }
  const int value = op.node + 1;
  frame.y = tensor(program_.activation(value), value, shard);
  if (const Slot& saved = program_.saved(op.node); saved.bytes > 0)
    frame.saved = memory_.at(saved, shard.number, shard.worker);
  if (goes_back) {
    const Slot& stashed_dy = program_.stashed_dy(op.node);
    frame.dy =
        is_partial || stashed_dy.bytes == 0 ? gradient(value, shard) : tensor(stashed_dy, value, shard);
    frame.gradients = memory_.lane(shard.lane, op.node);
  }
  return frame;
}

void ShardRunner::run_layer(const Op& op, const Batch& batch, const Shard& shard) const {
  Layer& layer = *view_.nodes[as_size(op.node)].layer;
  Frame frame = frame_of(op, batch, shard);
  switch (op.kind) {
    case Op::Kind::forward:
      layer.forward(frame);
      show(op.node + 1, false, shard, frame.y);
      break;
    case Op::Kind::recompute:
      layer.forward(frame);
      break;
    case Op::Kind::backward:
      show(op.node + 1, true, shard, frame.dy);
      layer.backward(frame);
      break;
    case Op::Kind::forward_partial:
      layer.coupled()->forward_partial(frame);
      break;
    case Op::Kind::backward_partial:
      layer.coupled()->backward_partial(frame);
      break;
    default:
      break;
  }
  lap(shard, op.node, phase_of(op, layer, !frame.dx[0].empty()));
}

void ShardRunner::show(int value, bool is_gradient, const Shard& shard, const Tensor& tensor) const {
  if (observer_ && program_.is_training() && !tensor.empty())
    observer_({value, is_gradient, shard.first_sample, shard.worker, tensor});
}

}  // namespace normlab
