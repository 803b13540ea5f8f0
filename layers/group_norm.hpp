#pragma once

#include "layers/kernels/group_norm.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// Layer, group, instance and RMS norm with an optional fused ReLU: one family, see GroupNormSpec.
/// Parameters: weight (gamma) and, unless RMS, bias (beta), per channel (c) or per element (c, h, w).
class GroupNorm : public Layer {
 public:
  GroupNorm(std::string name, std::string kind, GroupNormSpec spec)
      : Layer(std::move(name), std::move(kind)), spec_(spec) {}

  [[nodiscard]] bool backward_needs_x() const override { return true; }
  [[nodiscard]] bool is_norm() const override { return true; }

 private:
  [[nodiscard]] GroupNormKernels& kernels() const { return backend().get<GroupNormKernels>(); }
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override;
  void do_setup(std::span<const Shape> x, const Setup& setup) override;
  void do_prepare(bool training) override;
  void do_forward(Frame& frame) override;
  void do_backward(Frame& frame) override;
  void do_collect_gradients(float* lane_sum, float* gradients) override;
  [[nodiscard]] const float* gamma() const { return spec_.elementwise ? packed() : value(0); }
  [[nodiscard]] const float* beta() const;

  GroupNormSpec spec_;
  Shape sample_;                   ///< (1, c, h, w)
  std::size_t packed_extent_ = 0;  ///< floats of one packed per-element parameter
};

}  // namespace normlab
