#pragma once

#include "layers/layer.hpp"

namespace normlab {

/// A graph's last layer. The gradient of the batch's mean loss goes to dx in the same pass that computes it.
class Loss : public Layer {
 public:
  using Layer::Layer;
  [[nodiscard]] bool is_loss() const final { return true; }

 protected:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override { return x[0]; }

 private:
  void do_setup(std::span<const Shape>, const Setup&) override {}
  void do_backward(Frame&) override {}
};

/// Mean over the batch of the cross-entropy of softmax(x) against smoothed labels (PyTorch's definition).
class SoftmaxCrossEntropyLoss : public Loss {
 public:
  explicit SoftmaxCrossEntropyLoss(float label_smoothing = 0)
      : Loss("loss", "softmax_cross_entropy"), label_smoothing_(label_smoothing) {}

 private:
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override;
  void do_forward(Frame& frame) override;

  float label_smoothing_;
};

/// The linear functional sum(x * output_weights) of the batch: its gradient is whatever the caller wants,
/// which tests and the laws at initialization need.
class ProbeLoss : public Loss {
 public:
  ProbeLoss() : Loss("loss", "probe") {}

 private:
  void do_forward(Frame& frame) override;
};

}  // namespace normlab
