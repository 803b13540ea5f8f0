#pragma once

#include "layers/kernels/conv2d.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// Cross-correlation as in PyTorch: weight (out, in, kernel, kernel), optional bias (out).
class Conv2d : public Layer {
 public:
  struct Options {
    int out_channels = 0;
    int kernel = 3;
    int stride = 1;
    int padding = 1;
    bool bias = false;
  };

  Conv2d(std::string name, Options options) : Layer(std::move(name), "conv2d"), options_(options) {}

  [[nodiscard]] double multiply_adds() const override;
  [[nodiscard]] bool backward_needs_x() const override { return true; }
  [[nodiscard]] bool forward_is_cheap() const override { return options_.kernel == 1; }
  [[nodiscard]] bool accepts_image() const override { return true; }

 private:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override;
  void do_setup(std::span<const Shape> x, const Setup& setup) override;
  void do_prepare(bool training) override;
  void do_forward(Frame& frame) override;
  void do_backward(Frame& frame) override;
  void do_collect_gradients(float* lane_sum, float* gradients) override;

  Options options_;
  int in_channels_ = 0;
  std::unique_ptr<Conv2dPlan> plan_;
};

}  // namespace normlab
