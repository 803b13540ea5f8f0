#include "tools/bench/alone.hpp"

#include <algorithm>

#include "layers/as_size.hpp"
#include "layers/kernels/conv2d.hpp"

namespace normlab::bench {

namespace {

/// In [-1, 1), from a multiplicative hash: millions of them in milliseconds.
float drawn(std::size_t i) {
  const auto hash = static_cast<std::uint32_t>(i * 2654435761U + 12345U);
  return static_cast<float>(hash >> 8) / static_cast<float>(1U << 23) - 1.0F;
}

Buffer floats(Backend& backend, std::size_t count) {
  return Buffer(backend, std::max<std::size_t>(count, 1) * sizeof(float));
}

/// Of about the size that weights have.
Buffer weights(Backend& backend, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.1F * drawn(i);
  Buffer buffer = floats(backend, count);
  backend.to_device(values.data(), buffer.data(), values.size() * sizeof(float));
  return buffer;
}

}  // namespace

Map::Map(Backend& backend, Shape shape, DataType type, Layout layout)
    : shape_(shape), type_(type), layout_(layout), buffer_(backend, backend.bytes(shape, type, layout)) {
  std::vector<float> values(shape.count());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = drawn(i);
  backend.upload(values.data(), tensor());
}

NormAlone::NormAlone(Backend& backend, Norm norm, const Map& x, const Map& y, const Map& dy, const Map& dx)
    : graph_(backend, x.tensor().shape) {
  const Shape shape = x.tensor().shape;
  add_norm(graph_, "alone", norm, shape.c, graph_.input(), true);
  layer_ = graph_.nodes().front().layer.get();
  Setup setup{backend, shape.n, shape.n, {}, {}, x.tensor().type};
  setup.needs_dx = {true, false};
  layer_->setup(std::array{shape}, setup);
  std::size_t count = 0, states = 0;
  for (Parameter& parameter : layer_->parameters()) {
    parameter.offset = count;
    count += parameter.count;
  }
  for (State& state : layer_->states()) {
    state.offset = states;
    states += state.count;
  }
  std::vector<float> values(count);
  for (const Parameter& parameter : layer_->parameters()) {
    for (std::size_t i = parameter.offset; i < parameter.offset + parameter.count; ++i)
      values[i] = 0.1F * drawn(i) + (parameter.role == Role::gamma ? 1.0F : 0.0F);
  }
  values_ = floats(backend, count);
  backend.to_device(values.data(), values_.data(), count * sizeof(float));
  packed_ = floats(backend, layer_->packed_floats());
  states_ = floats(backend, states);
  saved_ = Buffer(backend, std::max<std::size_t>(layer_->saved_bytes(), 1));
  scratch_ = Buffer(backend, std::max<std::size_t>(layer_->scratch_bytes(), 1));
  gradients_ = floats(backend, layer_->gradient_floats());
  layer_->bind(values_.floats(), packed_.floats(), states_.floats());
  layer_->prepare(true);
  frame_.training = true;
  frame_.x[0] = x.tensor();
  frame_.y = y.tensor();
  frame_.dy = dy.tensor();
  frame_.dx[0] = dx.tensor();
  frame_.saved = saved_.data();
  frame_.scratch = scratch_.data();
  frame_.gradients = gradients_.floats();
}

void NormAlone::forward() {
  if (CoupledLayer* coupled = layer_->coupled()) {
    coupled->forward_partial(frame_);
    coupled->forward_reduce(frame_.x[0].shape.n);
  }
  layer_->forward(frame_);
}

void NormAlone::backward() {
  if (CoupledLayer* coupled = layer_->coupled()) {
    coupled->backward_partial(frame_);
    coupled->backward_reduce(frame_.x[0].shape.n, gradients_.floats());
  }
  layer_->backward(frame_);
}

ConvolutionAlone::ConvolutionAlone(Backend& backend, const Conv2dSpec& spec)
    : spec_(spec),
      plan_(backend.get<Conv2dKernels>().plan(spec)),
      x_(backend, spec.x, spec.type, spec.x_layout),
      y_(backend, spec.y(), spec.type),
      dx_(backend, spec.x, spec.type, spec.x_layout),
      packed_(floats(backend, plan_->packed_values())),
      gradients_(floats(backend, plan_->packed_gradients())),
      scratch_(backend, std::max<std::size_t>(plan_->scratch_bytes(), 1)) {
  const int count = spec.out_channels * spec.x.c * spec.kernel * spec.kernel;
  weight_ = weights(backend, as_size(count));
  plan_->pack(weight_.floats(), nullptr, packed_.floats());
}

void ConvolutionAlone::forward() {
  plan_->forward(x_.tensor(), packed_.floats(), y_.tensor(), scratch_.data(), 0);
}
void ConvolutionAlone::backward_data() {
  plan_->backward_data(y_.tensor(), packed_.floats(), dx_.tensor(), scratch_.data(), 0);
}
void ConvolutionAlone::backward_weights() {
  plan_->backward_weights(x_.tensor(), y_.tensor(), gradients_.floats(), scratch_.data(), 0);
}

double ConvolutionAlone::flops() const {
  const Shape y = spec_.y();
  return 2.0 * static_cast<double>(y.count()) * spec_.x.c * spec_.kernel * spec_.kernel;
}

}  // namespace normlab::bench
