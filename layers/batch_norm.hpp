#pragma once

#include <memory>

#include "layers/kernels/batch_norm.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// Batch norm (Ioffe & Szegedy 2015) with an optional fused ReLU. Training uses the batch's statistics and
/// updates the running ones; evaluation uses the running ones.
class BatchNorm : public CoupledLayer {
 public:
  BatchNorm(std::string name, bool relu) : CoupledLayer(std::move(name), "batch_norm"), relu_(relu) {}

  [[nodiscard]] bool backward_needs_x() const override { return true; }
  [[nodiscard]] bool is_norm() const override { return true; }

  void forward_partial(Frame& frame) override;
  void forward_reduce(int samples) override;
  void backward_partial(Frame& frame) override;
  void backward_reduce(int samples, float* lane_gradients) override;

 private:
  [[nodiscard]] BatchNormKernels& kernels() const { return backend().get<BatchNormKernels>(); }
  [[nodiscard]] Shape do_infer(std::span<const Shape> x) const override { return x[0]; }
  void do_setup(std::span<const Shape> x, const Setup& setup) override;
  void do_prepare(bool training) override;
  void do_forward(Frame& frame) override;
  void do_backward(Frame& frame) override;
  [[nodiscard]] BatchNormArgs args(const Frame& frame) const;

  [[nodiscard]] BatchNormParameters parameters_of_plan() const;

  bool relu_;
  std::unique_ptr<BatchNormPlan> plan_;  ///< null: in parts
  int channels_ = 0, shard_samples_ = 0;
  Shape x_;
  Buffer partials_, gradient_partials_;  ///< (shards, c)
  Buffer statistics_;                    ///< (c)
  Buffer means_;                         ///< (c), of the gradient
};

}  // namespace normlab
