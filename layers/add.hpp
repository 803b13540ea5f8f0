#pragma once

#include "layers/kernels/add.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// y = a + b, the joint of a residual branch. Both inputs receive dy.
class Add : public Layer {
 public:
  explicit Add(std::string name) : Layer(std::move(name), "add") {}

 private:
  [[nodiscard]] int inputs() const override { return 2; }
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override {
    if (x[0] != x[1]) {
      throw Error("the two branches must have one shape, got {} and {}", x[0].str(), x[1].str());
    }
    return x[0];
  }
  void do_setup(std::span<const Shape>, const Setup&) override {}
  void do_forward(Frame& frame) override {
    backend().get<AddKernels>().forward(frame.x[0], frame.x[1], frame.y);
  }
  void do_backward(Frame& frame) override {
    for (const Tensor& dx : frame.dx) {
      if (!dx.empty()) backend().copy(frame.dy, dx);
    }
  }
};

}  // namespace normlab
