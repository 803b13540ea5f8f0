#include "layers/conv2d.hpp"

namespace normlab {

Shape Conv2d::do_infer(std::span<const Shape> x) const {
  const Conv2dSpec spec{x[0], options_.out_channels, options_.kernel, options_.stride, options_.padding};
  spec.check();
  return spec.y();
}

double Conv2d::multiply_adds() const {
  return static_cast<double>(y_shape().per_sample()) * in_channels_ * options_.kernel * options_.kernel;
}

void Conv2d::do_setup(std::span<const Shape> x, const Setup& setup) {
  in_channels_ = x[0].c;
  const int taps = options_.kernel * options_.kernel;
  const int fan_in = in_channels_ * taps;
  const int fan_out = options_.out_channels * taps;
  add_parameter("weight", Role::weight,
                {options_.out_channels, in_channels_, options_.kernel, options_.kernel}, fan_in, fan_out);
  if (options_.bias) add_parameter("bias", Role::bias, {options_.out_channels}, fan_in, fan_out);
  plan_ = setup.backend.get<Conv2dKernels>().plan({x[0], options_.out_channels, options_.kernel,
                                                   options_.stride, options_.padding, options_.bias,
                                                   setup.x_layout[0], setup.needs_dx[0], setup.type});
  packed_floats_ = plan_->packed_values();
  gradient_floats_ = plan_->packed_gradients();
  scratch_bytes_ = plan_->scratch_bytes();
}

void Conv2d::do_prepare(bool /*training*/) {
  plan_->pack(value(0), options_.bias ? value(1) : nullptr, packed());
}

void Conv2d::do_forward(Frame& frame) {
  plan_->forward(frame.x[0], packed(), frame.y, frame.scratch, frame.worker);
}

void Conv2d::do_backward(Frame& frame) {
  plan_->backward_weights(frame.x[0], frame.dy, frame.gradients, frame.scratch, frame.worker);
  if (!frame.dx[0].empty()) {
    frame.lap(Phase::backward_weights);
    plan_->backward_data(frame.dy, packed(), frame.dx[0], frame.scratch, frame.worker);
  }
}

void Conv2d::do_collect_gradients(float* lane_sum, float* gradients) {
  plan_->unpack(lane_sum, gradients + parameters()[0].offset,
                options_.bias ? gradients + parameters()[1].offset : nullptr);
}

}  // namespace normlab
