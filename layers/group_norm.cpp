#include "layers/group_norm.hpp"

#include "layers/as_size.hpp"

namespace normlab {

Shape GroupNorm::do_infer(std::span<const Shape> x) const {
  spec_.check(x[0].c);
  return x[0];
}

void GroupNorm::do_setup(std::span<const Shape> x, const Setup& setup) {
  sample_ = x[0].with_n(1);
  setup.backend.get<GroupNormKernels>().check(spec_, sample_, setup.type);
  const std::vector<int> dims =
      spec_.elementwise ? std::vector<int>{x[0].c, x[0].h, x[0].w} : std::vector<int>{x[0].c};
  add_parameter("weight", Role::gamma, dims);
  if (spec_.centered) add_parameter("bias", Role::beta, dims);
  saved_bytes_ = as_size(x[0].n * spec_.groups) * sizeof(Statistics);
  if (spec_.elementwise) {
    packed_extent_ = setup.backend.bytes(sample_, DataType::f32, Layout::native) / sizeof(float);
    packed_floats_ = packed_extent_ * parameters().size();
    gradient_floats_ = packed_floats_;
  }
}

const float* GroupNorm::beta() const {
  if (!spec_.centered) return nullptr;
  return spec_.elementwise ? packed() + packed_extent_ : value(1);
}

void GroupNorm::do_prepare(bool /*training*/) {
  if (!spec_.elementwise) return;
  for (std::size_t i = 0; i < parameters().size(); ++i) {
    kernels().pack_elementwise(value(i), sample_, type(), packed() + i * packed_extent_);
  }
}

void GroupNorm::do_forward(Frame& frame) {
  kernels().forward(
      {spec_, frame.x[0], gamma(), beta(), frame.y, reinterpret_cast<Statistics*>(frame.saved)});
}

void GroupNorm::do_backward(Frame& frame) {
  const std::size_t second = spec_.elementwise ? packed_extent_ : parameters()[0].count;
  kernels().backward({spec_, frame.x[0], reinterpret_cast<const Statistics*>(frame.saved), gamma(), beta(),
                      frame.dy, frame.dx[0], frame.gradients,
                      spec_.centered ? frame.gradients + second : nullptr});
}

void GroupNorm::do_collect_gradients(float* lane_sum, float* gradients) {
  for (std::size_t i = 0; i < parameters().size(); ++i) {
    float* to = gradients + parameters()[i].offset;
    if (spec_.elementwise) {
      kernels().unpack_elementwise(lane_sum + i * packed_extent_, sample_, type(), to);
    } else {
      backend().copy_bytes(lane_sum + gradient_offset(i), to, parameters()[i].count * sizeof(float));
    }
  }
}

}  // namespace normlab
