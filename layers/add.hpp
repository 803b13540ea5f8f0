#pragma once

#include "layers/layer.hpp"

namespace normlab {

/// y = a + b, the joint of a residual branch. Both inputs receive dy.
class Add : public Layer {
 public:
  explicit Add(std::string name) : Layer(std::move(name), "add") {}
  [[nodiscard]] Shape infer(std::span<const Shape> x) const override {
    if (x.size() != 2 || x[0] != x[1]) {
      throw Error("{}: the two branches must have one shape, got {} and {}", where(), x[0].str(),
                  x.size() == 2 ? x[1].str() : "nothing");
    }
    return x[0];
  }

 private:
  void do_setup(std::span<const Shape>, const Setup&) override {}
  void do_forward(Frame& frame) override { backend().add_forward(frame.x[0], frame.x[1], frame.y); }
  void do_backward(Frame& frame) override {
    for (const Tensor& dx : frame.dx) {
      if (!dx.empty()) backend().copy(frame.dy, dx);
    }
  }
};

}  // namespace normlab
