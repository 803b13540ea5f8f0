#pragma once
// What normalizations compute with.

namespace normlab {

/// Inside the root of every normalization: rstd = 1 / sqrt(var + eps). Equal on every backend.
inline constexpr float kEpsilon = 1e-5F;
/// running = (1 - momentum) * running + momentum * batch statistic (PyTorch's convention).
inline constexpr float kRunningMomentum = 0.1F;

/// Statistics are kept *shifted*: the mean of x is shift + mean, where shift is that mean as a float and mean
/// the rest. What gets scaled is (x - shift) - mean, so neither a large mean nor a constant input costs
/// accuracy.
struct Statistics {
  float shift, mean, rstd;
};

}  // namespace normlab
