#pragma once

#include "layers/kernels/linear.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// y = x w^T + b for x of shape (n, in, 1, 1); weight (out, in), bias (out).
class Linear : public Layer {
 public:
  Linear(std::string name, int out) : Layer(std::move(name), "linear"), out_(out) {}
  [[nodiscard]] double multiply_adds() const override { return static_cast<double>(in_) * out_; }
  [[nodiscard]] bool backward_needs_x() const override { return true; }

 private:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override {
    if (out_ < 1) throw Error("{} outputs; it needs at least one", out_);
    if (x[0].pixels() != 1) throw Error("wants one pixel, got {}x{}; pool first", x[0].h, x[0].w);
    return {x[0].n, out_, 1, 1};
  }
  void do_setup(std::span<const Shape> x, const Setup&) override {
    in_ = x[0].c;
    add_parameter("weight", Role::weight, {out_, in_}, in_, out_);
    add_parameter("bias", Role::bias, {out_}, in_, out_);
  }
  void do_forward(Frame& frame) override {
    backend().get<LinearKernels>().forward({frame.x[0], value(0), value(1), frame.y});
  }
  void do_backward(Frame& frame) override {
    backend().get<LinearKernels>().backward(
        {frame.x[0], value(0), frame.dy, {}, frame.gradients, frame.gradients + gradient_offset(1)});
    if (!frame.dx[0].empty()) {
      frame.lap(Phase::backward_weights);
      backend().get<LinearKernels>().backward(
          {frame.x[0], value(0), frame.dy, frame.dx[0], nullptr, nullptr});
    }
  }

  int out_;
  int in_ = 0;
};

}  // namespace normlab
