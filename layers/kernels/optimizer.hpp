#pragma once
// Over the flat buffers of parameters and gradients.

#include <cstddef>

#include "layers/kernels/kernels.hpp"
#include "layers/kernels/step_rates.hpp"

namespace normlab {

/// What the gradient is scaled by where its norm may be at most `clip` (0: anything), as
/// torch.nn.utils.clip_grad_norm_ does it.
[[nodiscard]] constexpr float clip_scale(double norm, double clip) {
  const double scale = clip > 0 ? clip / (norm + 1e-6) : 1.0;
  return scale >= 1 ? 1.0F : static_cast<float>(scale);  // NaN stays
}

/// SGD as in PyTorch: g += decay w; v = keep v + g; w -= lr (nesterov ? g + momentum v : v).
struct SgdStep {
  float* w = nullptr;
  const float* g = nullptr;
  float* v = nullptr;
  std::size_t count = 0;
  const StepRates* rates = nullptr;
  const double* squared_norm = nullptr;  ///< of g, for `clip`
  double clip = 0;
  float weight_decay = 0;
  bool nesterov = false;
};

/// AdamW (Loshchilov & Hutter 2019) as in PyTorch.
struct AdamWStep {
  float* w = nullptr;
  const float* g = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  std::size_t count = 0;
  const StepRates* rates = nullptr;
  const double* squared_norm = nullptr;
  double clip = 0;
  float beta2 = 0.999F, epsilon = 1e-8F, weight_decay = 0;
};

class OptimizerKernels : public Kernels {
 public:
  /// lanes[0] += lanes[1] + ... + lanes[count - 1], each of `size` floats, `stride` apart, in a fixed tree.
  virtual void add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) = 0;
  /// *sum, on the device, = the sum of squares.
  virtual void sum_of_squares(const float* values, std::size_t count, double* sum) = 0;
  virtual void sgd(const SgdStep& args) = 0;
  virtual void adamw(const AdamWStep& args) = 0;
};

}  // namespace normlab
