#include "layers/layer.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "layers/as_size.hpp"
#include "layers/recording.hpp"

namespace normlab {

namespace {

/// In checked builds whatever a layer forgets to write shows up as NaN (but not in recorded work).
void poison([[maybe_unused]] Backend& backend, [[maybe_unused]] const Tensor& output) {
#ifdef NORMLAB_CHECKED
  if (output.empty() || RecordingScope::is_going_on()) return;
  const std::vector<float> values(output.shape.count(), std::numeric_limits<float>::quiet_NaN());
  backend.upload(values.data(), output);
#endif
}

}  // namespace

Buffer::Buffer(Backend& backend, std::size_t bytes)
    : backend_(&backend), data_(backend.allocate(bytes)), bytes_(bytes) {}

Buffer::~Buffer() {
  if (data_ != nullptr) backend_->release(data_);
}

std::size_t Layer::parameter_count() const {
  std::size_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.count;
  return count;
}

std::size_t Layer::gradient_offset(std::size_t parameter) const {
  return parameters_[parameter].offset - parameters_.front().offset;
}

Parameter& Layer::add_parameter(std::string suffix, Role role, std::vector<int> dims, int fan_in,
                                int fan_out) {
  Parameter parameter{name_ + "." + suffix, role, std::move(dims), fan_in, fan_out};
  parameter.count = 1;
  for (const int extent : parameter.dims) parameter.count *= as_size(extent);
  return parameters_.emplace_back(std::move(parameter));
}

void Layer::add_state(std::string suffix, std::size_t count, float initial) {
  states_.push_back({name_ + "." + suffix, count, initial, 0});
}

template <typename Work>
auto Layer::naming_the_layer(Work work) const {
  try {
    return work();
  } catch (const Error& error) {
    throw Error("{}: {}", where(), error.what());
  }
}

Shape Layer::infer(std::span<const Shape> x) const {
  return naming_the_layer([&] {
    if (x.size() != as_size(inputs())) {
      throw Error("takes {} input{}, got {}", inputs(), inputs() == 1 ? "" : "s", x.size());
    }
    for (const Shape& shape : x) {
      if (std::min({shape.n, shape.c, shape.h, shape.w}) < 1) {
        throw Error("an input of {}; samples, channels, rows and columns must be at least 1", shape.str());
      }
    }
    return do_infer(x);
  });
}

void Layer::setup(std::span<const Shape> x, const Setup& setup) {
  if (backend_ != nullptr) throw Error("{}: setup is called once", where());
  backend_ = &setup.backend;
  type_ = setup.type;
  x_shapes_.assign(x.begin(), x.end());
  y_shape_ = infer(x);
  naming_the_layer([&] { do_setup(x, setup); });
  if (gradient_floats_ == 0) gradient_floats_ = parameter_count();
}

void Layer::bind(float* values, float* packed, float* states) {
  values_ = values;
  packed_ = packed;
  states_data_ = states;
}

void Layer::forward(Frame& frame) {
  check(frame, false);
  if (!is_loss()) poison(*backend_, frame.y);
  do_forward(frame);
}

void Layer::backward(Frame& frame) {
  check(frame, true);
  for (const Tensor& dx : frame.dx) poison(*backend_, dx);
  do_backward(frame);
}

void Layer::do_collect_gradients(float* lane_sum, float* gradients) {
  if (!parameters_.empty()) {
    backend_->copy_bytes(lane_sum, gradients + parameters_.front().offset, parameter_count() * sizeof(float));
  }
}

void Layer::check([[maybe_unused]] const Frame& frame, [[maybe_unused]] bool backward) const {
#ifdef NORMLAB_CHECKED
  if (backend_ == nullptr) throw Error("{}: setup comes before forward and backward", where());
  for (std::size_t i = 0; i < x_shapes_.size(); ++i) {
    const bool wanted = !backward || backward_needs_x();
    if (wanted && (frame.x[i].empty() || frame.x[i].shape != x_shapes_[i].with_n(frame.x[i].shape.n))) {
      throw Error("{}: input {} has shape {}, setup said {}", where(), i, frame.x[i].shape.str(),
                  x_shapes_[i].str());
    }
  }
  for (const Tensor* tensor : {&frame.x[0], &frame.x[1], &frame.y, &frame.dy, &frame.dx[0], &frame.dx[1]}) {
    if (!tensor->empty() && tensor->type != type_) {
      throw Error("{}: a tensor is stored as {}, setup said {}", where(), precision_name(tensor->type),
                  precision_name(type_));
    }
  }
  if (!is_loss()) {
    const Tensor& out = backward ? frame.dy : frame.y;
    if (out.empty() || out.shape != y_shape_.with_n(out.shape.n)) {
      throw Error("{}: output has shape {}, setup said {}", where(), out.shape.str(), y_shape_.str());
    }
  }
#endif
}

}  // namespace normlab
