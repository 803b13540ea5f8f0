#pragma once

#include "layers/kernels/relu.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// y = max(x, 0). A normalization fuses its ReLU; this one follows a convolution without norm.
class Relu : public Layer {
 public:
  explicit Relu(std::string name) : Layer(std::move(name), "relu") {}
  [[nodiscard]] bool backward_needs_y() const override { return true; }

 private:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override { return x[0]; }
  void do_setup(std::span<const Shape>, const Setup&) override {}
  void do_forward(Frame& frame) override { backend().get<ReluKernels>().forward(frame.x[0], frame.y); }
  void do_backward(Frame& frame) override {
    backend().get<ReluKernels>().backward(frame.y, frame.dy, frame.dx[0]);
  }
};

}  // namespace normlab
