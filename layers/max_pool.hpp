#pragma once

#include "layers/kernels/max_pool.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// Maximum of 2x2 windows, stride 2; an odd last row or column is dropped (PyTorch's floor mode).
class MaxPool : public Layer {
 public:
  explicit MaxPool(std::string name) : Layer(std::move(name), "max_pool") {}
  [[nodiscard]] bool backward_needs_x() const override { return true; }
  [[nodiscard]] bool forward_is_cheap() const override { return true; }

 private:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override {
    if (x[0].h < 2 || x[0].w < 2) {
      throw Error("a 2x2 pool needs at least 2x2 pixels, got {}x{}; use fewer pools or larger images", x[0].h,
                  x[0].w);
    }
    return {x[0].n, x[0].c, x[0].h / 2, x[0].w / 2};
  }
  void do_setup(std::span<const Shape>, const Setup&) override {}
  void do_forward(Frame& frame) override { backend().get<MaxPoolKernels>().forward(frame.x[0], frame.y); }
  void do_backward(Frame& frame) override {
    backend().get<MaxPoolKernels>().backward(frame.x[0], frame.dy, frame.dx[0]);
  }
};

}  // namespace normlab
