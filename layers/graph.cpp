#include "layers/graph.hpp"

#include <algorithm>

#include "layers/as_size.hpp"
#include "layers/kernels/optimizer.hpp"
#include "layers/range.hpp"

namespace normlab {

namespace {

/// A small batch has fewer lanes rather than lanes of one shard: a lane's first shard finds its gradients in
/// no cache.
constexpr int kShardsOfALane = 2;

std::size_t rounded(std::size_t floats) {
  return (floats + 31) / 32 * 32;
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

  find_shapes();
  MemoryNeeds needs;
  set_up_layers(needs);
  training_ = Program(backend_, view_, true, options.keep);
  evaluation_ = Program(backend_, view_, false, false);
  book(needs);
  bind_layers();
}

/// Shapes, consumers, the layout of the input, and the size of shards.
void Graph::find_shapes() {
  const std::size_t value_count = nodes_.size() + 1;
  view_.type = options_.precision;
  view_.shapes.assign(value_count, sample_);
  view_.layouts.assign(value_count, Layout::native);
  view_.needs_grad.assign(value_count, false);
  view_.consumers.assign(value_count, {});
  view_.needs_grad[0] = options_.input_gradient;
  std::size_t sample_bytes = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    std::vector<Shape> x;
    for (std::size_t k = 0; k < nodes_[i].inputs.size(); ++k) {
      const auto value = as_size(nodes_[i].inputs[k]);
      if (value > i) throw Error("Graph: {} reads a value that is made after it", nodes_[i].layer->name());
      x.push_back(view_.shapes[value]);
      view_.consumers[value].push_back({static_cast<int>(i), static_cast<int>(k)});
    }
    view_.shapes[i + 1] = nodes_[i].layer->infer(x);
    sample_bytes += backend_.bytes(view_.shapes[i + 1], view_.type, Layout::native);
  }
  for (std::size_t i = 0; i + 1 < nodes_.size(); ++i) {
    if (view_.consumers[i + 1].empty())
      throw Error("Graph: nothing reads the output of {}", nodes_[i].layer->name());
  }
  const auto takes_images = [&](Edge e) { return nodes_[as_size(e.node)].layer->accepts_image(); };
  if (std::ranges::all_of(view_.consumers[0], takes_images) && sample_.c <= 4 && !options_.input_gradient)
    view_.layouts[0] = Layout::image;
  shard_samples_ = options_.shard_samples > 0 ? options_.shard_samples
                                              : backend_.shard_samples(sample_bytes, options_.batch);
  for (Shape& shape : view_.shapes) shape.n = shard_samples_;
}

/// Their plans and parameters, and which values need a gradient.
void Graph::set_up_layers(MemoryNeeds& needs) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Layer& layer = *nodes_[i].layer;
    const std::vector<int>& inputs = nodes_[i].inputs;
    Setup setup{backend_, shard_samples_, options_.batch, {}, {}, view_.type};
    std::vector<Shape> x;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      const auto value = as_size(inputs[k]);
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
    const auto needs_grad = [&](int value) -> bool { return view_.needs_grad[as_size(value)]; };
    view_.needs_grad[i + 1] = !layer.parameters().empty() || std::ranges::any_of(inputs, needs_grad);
    needs.gradient_offsets.push_back(needs.lane);
    needs.lane += rounded(layer.gradient_floats());
    needs.packed += rounded(layer.packed_floats());
    needs.scratch = std::max(needs.scratch, layer.scratch_bytes());
  }
}

void Graph::book(MemoryNeeds& needs) {
  needs.parameters = parameter_count_;
  needs.states = state_count_;
  needs.worker = std::max(training_.worker_bytes(), evaluation_.worker_bytes());
  needs.shard = training_.shard_bytes();
  needs.shards = shards_of(options_.batch);
  needs.samples = shards_of(std::max(options_.batch, options_.evaluation_batch)) * shard_samples_;
  memory_ = GraphMemory(backend_, needs);
}

void Graph::bind_layers() {
  float* packed = memory_.packed();
  for (const Node& node : nodes_) {
    node.layer->bind(values(), packed, state_values());
    packed += rounded(node.layer->packed_floats());
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
  const Batch staged = memory_.stage(batch);
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
  backend_.get<OptimizerKernels>().add_lanes(memory_.lane(0), memory_.lane_floats(), memory_.lane_floats(),
                                             lanes_used_);
  if (profile_ != nullptr) profile_->lap_of_all(Profile::kStep, Phase::reduce);
  backend_.run(static_cast<int>(nodes_.size()), [&](int i, int worker) {
    Layer& layer = *nodes_[as_size(i)].layer;
    const Range named(backend_, layer.name());
    start(worker);
    layer.collect_gradients(memory_.lane(0, i), gradients());
    lap(worker, i, Phase::reduce);
  });
}

int Graph::lanes_of(int samples) const {
  return std::min(backend_.lanes(), (shards_of(samples) + kShardsOfALane - 1) / kShardsOfALane);
}

void Graph::prepare(bool training) {
  const Range range(backend_, "prepare");
  backend_.run(static_cast<int>(nodes_.size()), [&](int i, int worker) {
    Layer& layer = *nodes_[as_size(i)].layer;
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
  const ShardRunner runner(backend_, view_, memory_, program, observer_, profile_);
  bool clears = kind == Pass::training && batch.begins(), ascending = true;
  for (const Segment& segment : program.segments()) {
    std::span<const Op> ops = segment.ops;
    // The forward half of a pass ends with the loss.
    const auto loss = std::ranges::find(ops, Op{Op::Kind::forward, static_cast<int>(nodes_.size()) - 1});
    const bool is_last = kind == Pass::forward && loss != ops.end();
    if (is_last) ops = ops.first(as_size(loss - ops.begin()) + 1);
    run_segment(runner, ops, batch, ascending, clears, half);
    if (is_last) break;
    clears = false;
    ascending = !ascending;  // begin with what the last segment left in the cache
    if (segment.coupled < 0) continue;
    half.enter(segment.backward);
    reduce(segment, batch.count);
  }
  last_count_ = batch.count;
}

/// Takes every shard through the ops: lane l has the shards l, l + lanes, l + 2 lanes, ... `clears`: the
/// lanes' gradients begin at zero.
void Graph::run_segment(const ShardRunner& runner, std::span<const Op> ops, const Batch& batch,
                        bool ascending, bool clears, HalfRange& half) {
  const int shards = shards_of(batch.count), lanes = lanes_of(batch.count);
  backend_.run(lanes, [&](int task, int worker) {
    const int lane = ascending ? task : lanes - 1 - task;
    start(worker);
    if (clears) {
      backend_.clear(memory_.lane(lane), memory_.lane_floats() * sizeof(float));
      lap(worker, Profile::kStep, Phase::reduce);
    }
    const int in_lane = (shards - lane + lanes - 1) / lanes;
    for (int i = 0; i < in_lane; ++i) {
      const int number = lane + (ascending ? i : in_lane - 1 - i) * lanes;
      const int first = number * shard_samples_;
      const Shard shard{number, first, std::min(shard_samples_, batch.count - first), lane, worker};
      for (const Op& op : ops) {
        half.enter(goes_back(op));
        runner.run(op, batch, shard);
      }
    }
  });
}

/// What a coupled layer does with all shards between two segments.
void Graph::reduce(const Segment& segment, int samples) {
  Layer& layer = *nodes_[as_size(segment.coupled)].layer;
  const Range range(backend_, layer.name());
  start(0);
  if (segment.backward) {
    layer.coupled()->backward_reduce(samples, memory_.lane(0, segment.coupled));
  } else {
    layer.coupled()->forward_reduce(samples);
  }
  lap(0, segment.coupled, Phase::reduce);
}

void Graph::set_profile(Profile* profile) {
  if (profile != nullptr &&
      (profile->workers() != backend_.workers() || profile->layers() != static_cast<int>(nodes_.size()))) {
    throw Error("Graph: the profile is for {} workers and {} layers, the graph has {} and {}",
                profile->workers(), profile->layers(), backend_.workers(), nodes_.size());
  }
  profile_ = profile;
}

}  // namespace normlab
