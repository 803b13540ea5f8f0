#pragma once
// Figures of activations that lie in host memory as plain floats; Backend computes the same where they lie.
// Sums run in double. similarity.hpp has those that compare samples.

#include <span>
#include <vector>

#include "layers/tensor.hpp"

namespace normlab {

struct Moments {
  double mean = 0;
  double variance = 0;  ///< biased, about the mean
  double dead_fraction =
      0;  ///< share of the channels that are 0 at every pixel of every sample (after a ReLU)
};

/// Of values (n, c, h, w).
[[nodiscard]] Moments moments(std::span<const float> values, const Shape& shape);

/// A row for a histogram channel: lo, hi, then how many values lie in each of `bins` equal parts of [lo, hi];
/// a value on a boundary counts above it, hi in the last part. lo and hi are the smallest and the largest
/// finite value (0 and 0 if there is none); what is not finite does not count. If all are equal they lie in
/// part 0.
[[nodiscard]] std::vector<float> histogram(std::span<const float> values, int bins);

/// ||values||_2.
[[nodiscard]] double l2_norm(std::span<const float> values);
/// ||a - b||_2, of equal sizes.
[[nodiscard]] double l2_distance(std::span<const float> a, std::span<const float> b);

}  // namespace normlab
