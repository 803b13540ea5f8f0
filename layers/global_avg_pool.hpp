#pragma once

#include "layers/kernels/global_avg_pool.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// The mean over all pixels of each channel: (n, c, h, w) to (n, c, 1, 1).
class GlobalAvgPool : public Layer {
 public:
  explicit GlobalAvgPool(std::string name) : Layer(std::move(name), "global_avg_pool") {}

 private:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override { return {x[0].n, x[0].c, 1, 1}; }
  void do_setup(std::span<const Shape>, const Setup&) override {}
  void do_forward(Frame& frame) override {
    backend().get<GlobalAvgPoolKernels>().forward(frame.x[0], frame.y);
  }
  void do_backward(Frame& frame) override {
    backend().get<GlobalAvgPoolKernels>().backward(frame.dy, frame.dx[0]);
  }
};

}  // namespace normlab
