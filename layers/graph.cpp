#include "layers/graph.hpp"

#include <algorithm>

#include "layers/kernels/add.hpp"
#include "layers/kernels/images.hpp"
#include "layers/kernels/optimizer.hpp"
#include "layers/kernels/steps.hpp"
#include "layers/range.hpp"

namespace normlab {

namespace {

/// A small batch has fewer lanes rather than lanes of one shard: a lane's first shard finds its gradients in
/// no cache.
constexpr int kShardsOfALane = 2;

std::size_t rounded(std::size_t floats) {
  return (floats + 31) / 32 * 32;
}

/// What an op's time counts as; an op without dx computes the gradients of parameters alone.
Phase phase_of(const Op& op, const Layer& layer, bool writes_dx) {
  const bool goes_forward = op.kind == Op::Kind::forward || op.kind == Op::Kind::forward_partial;
  if (layer.is_norm()) return goes_forward ? Phase::norm_forward : Phase::norm_backward;
  if (goes_forward || op.kind == Op::Kind::recompute) return Phase::forward;
  return writes_dx ? Phase::backward_data : Phase::backward_weights;
}

bool goes_back(const Op& op) {
  return op.kind == Op::Kind::recompute || op.kind == Op::Kind::combine || op.kind == Op::Kind::stash_dy ||
         op.kind == Op::Kind::backward_partial || op.kind == Op::Kind::backward;
}

}  // namespace

int Graph::add(std::unique_ptr<Layer> layer, int x) {
  nodes_.push_back({std::move(layer), {x}});
  return static_cast<int>(nodes_.size());
}

int Graph::add(std::unique_ptr<Layer> layer, int a, int b) {
  nodes_.push_back({std::move(layer), {a, b}});
  return static_cast<int>(nodes_.size());
}

void Graph::setup(const GraphOptions& options) {
  if (is_set_up_) throw Error("Graph: setup is called once");
  if (nodes_.empty() || !nodes_.back().layer->is_loss()) throw Error("Graph: the last layer must be a loss");
  if (options.batch < 1) throw Error("Graph: the batch must have at least one sample, got {}", options.batch);
  is_set_up_ = true;
  options_ = options;

  // Shapes, consumers, who needs a gradient, and the layout of the input.
  const std::size_t value_count = nodes_.size() + 1;
  view_.type = options.precision;
  view_.shapes.assign(value_count, sample_);
  view_.layouts.assign(value_count, Layout::native);
  view_.needs_grad.assign(value_count, false);
  view_.consumers.assign(value_count, {});
  view_.needs_grad[0] = options.input_gradient;
  std::size_t sample_bytes = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    std::vector<Shape> x;
    for (std::size_t k = 0; k < nodes_[i].inputs.size(); ++k) {
      const auto value = static_cast<std::size_t>(nodes_[i].inputs[k]);
      if (value > i) throw Error("Graph: {} reads a value that is made after it", nodes_[i].layer->name());
      x.push_back(view_.shapes[value]);
      view_.consumers[value].push_back({static_cast<int>(i), static_cast<int>(k)});
    }
    view_.shapes[i + 1] = nodes_[i].layer->infer(x);
    sample_bytes += backend_.bytes(view_.shapes[i + 1], view_.type, Layout::native);
  }
  const std::vector<Edge>& readers = view_.consumers[0];
  if (std::all_of(readers.begin(), readers.end(),
                  [&](Edge e) { return nodes_[static_cast<std::size_t>(e.node)].layer->accepts_image(); }) &&
      sample_.c <= 4 && !options.input_gradient) {
    view_.layouts[0] = Layout::image;
  }
  shard_samples_ =
      options.shard_samples > 0 ? options.shard_samples : backend_.shard_samples(sample_bytes, options.batch);
  for (Shape& shape : view_.shapes) shape.n = shard_samples_;

  for (std::size_t value = 1; value + 1 < value_count; ++value) {
    if (view_.consumers[value].empty()) {
      throw Error("Graph: nothing reads the output of {}", nodes_[value - 1].layer->name());
    }
  }

  // Layers: plans and parameters.
  std::size_t packed = 0, lane = 0, scratch = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Layer& layer = *nodes_[i].layer;
    Setup setup{backend_, shard_samples_, options.batch, {}, {}, view_.type};
    std::vector<Shape> x;
    for (std::size_t k = 0; k < nodes_[i].inputs.size(); ++k) {
      const auto value = static_cast<std::size_t>(nodes_[i].inputs[k]);
      x.push_back(view_.shapes[value]);
      setup.x_layout[k] = view_.layouts[value];
      setup.needs_dx[k] = view_.needs_grad[value];
    }
    layer.setup(x, setup);
    for (Parameter& parameter : layer.parameters()) {
      parameter.offset = parameter_count_;
      parameter_count_ += parameter.count;
    }
    for (State& state : layer.states()) {
      state.offset = state_count_;
      state_count_ += state.count;
    }
    view_.needs_grad[i + 1] = !layer.parameters().empty() ||
                              std::any_of(nodes_[i].inputs.begin(), nodes_[i].inputs.end(), [&](int value) {
                                return view_.needs_grad[static_cast<std::size_t>(value)];
                              });
    gradient_offsets_.push_back(lane);
    lane += rounded(layer.gradient_floats());
    packed += rounded(layer.packed_floats());
    scratch = std::max(scratch, layer.scratch_bytes());
  }

  // Memory.
  const std::size_t floats = std::max<std::size_t>(parameter_count_, 1) * sizeof(float);
  values_ = Buffer(backend_, floats);
  gradients_ = Buffer(backend_, floats);
  states_ = Buffer(backend_, std::max<std::size_t>(state_count_, 1) * sizeof(float));
  packed_ = Buffer(backend_, std::max<std::size_t>(packed, 1) * sizeof(float));
  lane_stride_ = std::max<std::size_t>(lane, 32);
  lanes_ = Buffer(backend_, lane_stride_ * sizeof(float) * static_cast<std::size_t>(backend_.lanes()));
  training_ = Program(backend_, view_, true, options.keep);
  evaluation_ = Program(backend_, view_, false, false);
  const auto workers = static_cast<std::size_t>(backend_.workers());
  const auto shards = static_cast<std::size_t>(
      (std::max(options.batch, options.evaluation_batch) + shard_samples_ - 1) / shard_samples_);
  worker_stride_ = std::max({training_.worker_bytes(), evaluation_.worker_bytes(), std::size_t{128}});
  worker_arenas_ = Buffer(backend_, worker_stride_ * workers);
  shard_arenas_ =
      Buffer(backend_, training_.shard_bytes() *
                           static_cast<std::size_t>((options.batch + shard_samples_ - 1) / shard_samples_));
  scratch_stride_ = (scratch + 4095) / 4096 * 4096 + 4096;
  scratch_ = Buffer(backend_, scratch_stride_ * workers);
  const std::size_t samples = shards * static_cast<std::size_t>(shard_samples_);
  loss_buffer_ = Buffer(backend_, samples * sizeof(float));
  predicted_buffer_ = Buffer(backend_, samples * sizeof(std::int32_t));
  confidence_buffer_ = Buffer(backend_, samples * sizeof(float));
  if (!backend_.reads_host_memory()) {
    index_buffer_ = Buffer(backend_, samples * sizeof(std::uint32_t));
    label_buffer_ = Buffer(backend_, samples * sizeof(std::int32_t));
  }
  result_buffer_ = Buffer(backend_, sizeof(StepSums));

  std::size_t packed_offset = 0;
  for (const Node& node : nodes_) {
    node.layer->bind(values(), packed_.floats() + packed_offset, state_values());
    packed_offset += rounded(node.layer->packed_floats());
    for (const State& state : node.layer->states()) {
      const std::vector<float> initial(state.count, state.initial);
      backend_.to_device(initial.data(), state_values() + state.offset, state.count * sizeof(float));
    }
  }
}

void Graph::check(const Batch& batch, Pass kind) {
  const int booked = kind == Pass::evaluation ? options_.evaluation_batch : options_.batch;
  if (batch.count < 1 || batch.count > booked) {
    throw Error("Graph: a batch of {} samples, but memory was booked for 1 to {}", batch.count, booked);
  }
  if (kind != Pass::training) return;
  const int lanes = lanes_of(batch.count);
  if (batch.begins()) lanes_used_ = lanes;
  if (batch.first_part + batch.count > batch.mean_over() || lanes > lanes_used_) {
    throw Error(
        "Graph: samples {} to {} of a batch of {}: the parts of a batch come in order, the first one "
        "the largest",
        batch.first_part, batch.first_part + batch.count, batch.mean_over());
  }
}

PassResult Graph::forward_backward(const Batch& batch) {
  return run(batch, Pass::training);
}

PassResult Graph::forward(const Batch& batch) {
  return run(batch, Pass::forward);
}

PassResult Graph::evaluate(const Batch& batch) {
  return run(batch, Pass::evaluation);
}

PassResult Graph::run(const Batch& batch, Pass kind) {
  check(batch, kind);
  const Profile::Wall wall(profile_);
  const Batch staged = stage(batch);
  submit(staged, kind);
  return read_results(staged);
}

void Graph::enqueue(const Batch& batch, Pass kind) {
  check(batch, kind);
  const Profile::Wall wall(profile_);
  submit(batch, kind);
}

void Graph::submit(const Batch& batch, Pass kind) {
  pass(batch, kind);
  if (kind == Pass::training && batch.ends()) collect_gradients();
}

void Graph::collect_gradients() {
  const Range range(backend_, "gradients");
  start(0);
  backend_.get<OptimizerKernels>().add_lanes(lanes_.floats(), lane_stride_, lane_stride_, lanes_used_);
  if (profile_ != nullptr) profile_->lap_of_all(Profile::kStep, Phase::reduce);
  backend_.run(static_cast<int>(nodes_.size()), [&](int i, int worker) {
    const auto node = static_cast<std::size_t>(i);
    const Range named(backend_, nodes_[node].layer->name());
    start(worker);
    nodes_[node].layer->collect_gradients(lane_gradients(0) + gradient_offsets_[node], gradients());
    lap(worker, i, Phase::reduce);
  });
}

int Graph::lanes_of(int samples) const {
  const int shards = (samples + shard_samples_ - 1) / shard_samples_;
  return std::min(backend_.lanes(), (shards + kShardsOfALane - 1) / kShardsOfALane);
}

Batch Graph::stage(const Batch& batch) {
  if (batch.is_staged) return batch;
  Batch staged = batch;
  staged.is_staged = true;
  if (backend_.reads_host_memory()) return staged;
  const auto count = static_cast<std::size_t>(batch.count);
  if (batch.indices != nullptr) {
    backend_.to_device(batch.indices, index_buffer_.data(), count * sizeof(std::uint32_t));
    staged.indices = reinterpret_cast<const std::uint32_t*>(index_buffer_.data());
  }
  if (batch.labels != nullptr) {
    backend_.to_device(batch.labels, label_buffer_.data(), count * sizeof(std::int32_t));
    staged.labels = reinterpret_cast<const std::int32_t*>(label_buffer_.data());
  }
  return staged;
}

void Graph::prepare(bool training) {
  const Range range(backend_, "prepare");
  backend_.run(static_cast<int>(nodes_.size()), [&](int i, int worker) {
    Layer& layer = *nodes_[static_cast<std::size_t>(i)].layer;
    const Range named(backend_, layer.name());
    start(worker);
    layer.prepare(training);
    lap(worker, i, Phase::prepare);
  });
}

void Graph::pass(const Batch& batch, Pass kind) {
  const bool training = kind != Pass::evaluation;
  const Program& program = training ? training_ : evaluation_;
  prepare(training);
  HalfRange half(backend_);
  half.enter(false);
  const int shards = (batch.count + shard_samples_ - 1) / shard_samples_;
  const int lanes = lanes_of(batch.count);
  bool clear = kind == Pass::training && batch.begins(), ascending = true;
  for (const Segment& segment : program.segments()) {
    // The forward half of a pass ends with the loss.
    const auto loss = std::find_if(segment.ops.begin(), segment.ops.end(), [&](const Op& op) {
      return op.kind == Op::Kind::forward && op.node + 1 == static_cast<int>(nodes_.size());
    });
    const bool is_last = kind == Pass::forward && loss != segment.ops.end();
    const auto end = is_last ? loss + 1 : segment.ops.end();
    backend_.run(lanes, [&](int task, int worker) {
      const int lane = ascending ? task : lanes - 1 - task;
      start(worker);
      if (clear) {
        backend_.clear(lane_gradients(lane), lane_stride_ * sizeof(float));
        lap(worker, Profile::kStep, Phase::reduce);
      }
      const int in_lane = (shards - lane + lanes - 1) / lanes;
      for (int i = 0; i < in_lane; ++i) {
        const int shard = lane + (ascending ? i : in_lane - 1 - i) * lanes;
        Frame frame;
        frame.worker = worker;
        frame.shard = shard;
        frame.training = training;
        frame.profile = profile_;
        frame.batch = &batch;
        frame.first_sample = shard * shard_samples_;
        frame.scratch = scratch_.data() + scratch_stride_ * static_cast<std::size_t>(worker);
        frame.results = results();
        const int samples = std::min(shard_samples_, batch.count - frame.first_sample);
        for (auto op = segment.ops.begin(); op != end; ++op) {
          half.enter(goes_back(*op));
          run_op(program, *op, batch, frame, lane, samples);
        }
      }
    });
    if (is_last) break;
    clear = false;
    ascending = !ascending;  // begin with what the last segment left in the cache
    if (segment.coupled >= 0) {
      const auto node = static_cast<std::size_t>(segment.coupled);
      auto& layer = static_cast<CoupledLayer&>(*nodes_[node].layer);
      half.enter(segment.backward);
      const Range range(backend_, layer.name());
      start(0);
      if (segment.backward) {
        layer.backward_reduce(batch.count, lane_gradients(0) + gradient_offsets_[node]);
      } else {
        layer.forward_reduce(batch.count);
      }
      lap(0, segment.coupled, Phase::reduce);
    }
  }
  last_count_ = batch.count;
}

void Graph::run_op(const Program& program, const Op& op, const Batch& batch, Frame frame, int lane,
                   int samples) {
  const auto output_gradient = [&](int value) {
    const std::vector<Edge>& edges = view_.consumers[static_cast<std::size_t>(value)];
    return edges.empty() ? Tensor{} : tensor(program.gradient(edges.front()), value, frame, samples);
  };
  if (op.kind == Op::Kind::load) {
    const Range range(backend_, "images");
    load(batch, frame.first_sample, tensor(program.activation(0), 0, frame, samples));
    lap(frame.worker, Profile::kStep, Phase::data);
    return;
  }
  if (op.kind == Op::Kind::combine) {
    const Range range(backend_,
                      op.node == 0 ? "images" : nodes_[static_cast<std::size_t>(op.node) - 1].layer->name());
    const std::vector<Edge>& edges = view_.consumers[static_cast<std::size_t>(op.node)];
    const Tensor sum = output_gradient(op.node);
    for (std::size_t e = 1; e < edges.size(); ++e) {
      backend_.get<AddKernels>().forward(sum, tensor(program.gradient(edges[e]), op.node, frame, samples),
                                         sum);
    }
    lap(frame.worker, op.node - 1, Phase::backward_data);  // of the layer that made the value
    return;
  }
  const auto node = static_cast<std::size_t>(op.node);
  Layer& layer = *nodes_[node].layer;
  const Range range(backend_, layer.name());
  if (op.kind == Op::Kind::stash_x) {
    const int value = nodes_[node].inputs.front();
    backend_.stash(tensor(program.activation(value), value, frame, samples),
                   tensor(program.stashed_x(op.node), value, frame, samples));
    lap(frame.worker, op.node, Phase::norm_forward);
    return;
  }
  if (op.kind == Op::Kind::stash_dy) {
    backend_.stash(output_gradient(op.node + 1),
                   tensor(program.stashed_dy(op.node), op.node + 1, frame, samples));
    lap(frame.worker, op.node, Phase::norm_backward);
    return;
  }
  const std::vector<int>& inputs = nodes_[node].inputs;
  const bool writes_dx = op.kind == Op::Kind::backward || (frame.training && layer.is_loss());
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const bool fresh = op.kind == Op::Kind::forward_partial || program.stashed_x(op.node).bytes == 0;
    frame.x[k] =
        tensor(fresh ? program.activation(inputs[k]) : program.stashed_x(op.node), inputs[k], frame, samples);
    if (writes_dx && view_.needs_grad[static_cast<std::size_t>(inputs[k])]) {
      frame.dx[k] = tensor(program.gradient({op.node, static_cast<int>(k)}), inputs[k], frame, samples);
    }
  }
  frame.node = op.node;
  frame.y = tensor(program.activation(op.node + 1), op.node + 1, frame, samples);
  const Slot& saved = program.saved(op.node);
  if (saved.bytes > 0) {
    const bool shared = saved.per_shard;
    frame.saved = shared
                      ? shard_arenas_.data() + program.shard_bytes() * static_cast<std::size_t>(frame.shard)
                      : worker_arenas_.data() + worker_stride_ * static_cast<std::size_t>(frame.worker);
    frame.saved += saved.offset;
  }
  if (op.kind == Op::Kind::backward || op.kind == Op::Kind::backward_partial) {
    const bool fresh = op.kind == Op::Kind::backward_partial || program.stashed_dy(op.node).bytes == 0;
    frame.dy = fresh ? output_gradient(op.node + 1)
                     : tensor(program.stashed_dy(op.node), op.node + 1, frame, samples);
    frame.gradients = lane_gradients(lane) + gradient_offsets_[node];
  }
  const auto show = [&](bool is_gradient, const Tensor& shard) {
    if (observer_ && frame.training && !shard.empty()) {
      observer_({op.node + 1, is_gradient, frame.first_sample, frame.worker, shard});
    }
  };
  if (op.kind == Op::Kind::backward) show(true, frame.dy);
  switch (op.kind) {
    case Op::Kind::forward:
    case Op::Kind::recompute:
      layer.forward(frame);
      break;
    case Op::Kind::backward:
      layer.backward(frame);
      break;
    case Op::Kind::forward_partial:
      static_cast<CoupledLayer&>(layer).forward_partial(frame);
      break;
    case Op::Kind::backward_partial:
      static_cast<CoupledLayer&>(layer).backward_partial(frame);
      break;
    default:
      break;
  }
  if (op.kind == Op::Kind::forward) show(false, frame.y);
  lap(frame.worker, op.node, phase_of(op, layer, !frame.dx[0].empty()));
}

void Graph::set_profile(Profile* profile) {
  if (profile != nullptr &&
      (profile->workers() != backend_.workers() || profile->layers() != static_cast<int>(nodes_.size()))) {
    throw Error("Graph: the profile is for {} workers and {} layers, the graph has {} and {}",
                profile->workers(), profile->layers(), backend_.workers(), nodes_.size());
  }
  profile_ = profile;
}

void Graph::load(const Batch& batch, int first, Tensor x) {
  if (batch.images != nullptr) {
    backend_.get<ImageKernels>().load(
        {batch.images, batch.indices + first, batch.augmentation, batch.epoch, batch.mean, batch.std, x});
  } else if (batch.values != nullptr) {
    backend_.upload(batch.values + static_cast<std::size_t>(first) * sample_.per_sample(), x);
  } else {
    throw Error("Graph: the batch has neither images nor values");
  }
}

Tensor Graph::tensor(const Slot& slot, int value, const Frame& frame, int samples) const {
  if (slot.bytes == 0) return {};
  const bool training = frame.training;
  const std::size_t shard_bytes = training ? training_.shard_bytes() : evaluation_.shard_bytes();
  std::byte* arena = slot.per_shard
                         ? shard_arenas_.data() + shard_bytes * static_cast<std::size_t>(frame.shard)
                         : worker_arenas_.data() + worker_stride_ * static_cast<std::size_t>(frame.worker);
  const auto v = static_cast<std::size_t>(value);
  return {arena + slot.offset, view_.shapes[v].with_n(samples), view_.type, view_.layouts[v]};
}

}  // namespace normlab
