#pragma once
// The loss.

#include <cstdint>

#include "layers/kernels/kernels.hpp"

namespace normlab {

/// Cross-entropy of softmax(logits) against labels smoothed by s: target (1 - s) onehot + s / classes.
/// For each sample: its loss, the predicted class, that class's probability; and dlogits times `scale`.
struct SoftmaxCrossEntropy {
  Tensor logits;
  const std::int32_t* labels = nullptr;
  float label_smoothing = 0;
  float scale = 1;
  Tensor dlogits;  ///< empty: not wanted
  float* loss = nullptr;
  std::int32_t* predicted = nullptr;
  float* confidence = nullptr;
};

/// Whether a class whose logit is b is predicted rather than one before it, whose logit is a: NaN counts as
/// the largest, as in PyTorch's argmax.
[[nodiscard]] constexpr bool is_larger(double b, double a) {
  return b > a || (b != b && a == a);
}

class SoftmaxCrossEntropyKernels : public Kernels {
 public:
  virtual void forward(const SoftmaxCrossEntropy& args) = 0;
};

}  // namespace normlab
