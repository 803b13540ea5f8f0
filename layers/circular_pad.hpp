#pragma once

#include "layers/kernels/circular_pad.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// One pixel of wrap-around on each side, so that a 3x3 convolution without padding sees a torus.
class CircularPad : public Layer {
 public:
  explicit CircularPad(std::string name) : Layer(std::move(name), "circular_pad") {}

 private:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override {
    return {x[0].n, x[0].c, x[0].h + 2, x[0].w + 2};
  }
  void do_setup(std::span<const Shape>, const Setup&) override {}
  void do_forward(Frame& frame) override { backend().get<CircularPadKernels>().forward(frame.x[0], frame.y); }
  void do_backward(Frame& frame) override {
    backend().get<CircularPadKernels>().backward(frame.dy, frame.dx[0]);
  }
};

}  // namespace normlab
