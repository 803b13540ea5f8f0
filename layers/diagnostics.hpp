#pragma once
// Figures of activations that lie in host memory as plain floats; Backend computes the same where they lie.
// Sums run in double. similarity.hpp has those that compare samples.

#include <optional>
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

/// A value that dwarfs the others.
struct Outlier {
  double largest = 0;    ///< magnitude
  double deviation = 0;  ///< of the values that it dwarfs
};

/// At how many deviations a value counts as one.
inline constexpr double kOutlierTimes = 1e4;

/// The largest finite value, if most of those that are not 0 are smaller by more than this factor. (Of all
/// values together it would be a part of the deviation: one of n is at most sqrt(n) deviations away.)
[[nodiscard]] std::optional<Outlier> find_outlier(std::span<const float> values, double times);

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
