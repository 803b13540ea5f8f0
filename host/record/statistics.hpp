#pragma once
// What a few seeds allow one to say: mean, standard deviation, and Student's 95 % interval of the mean.

#include <cstddef>
#include <span>

namespace normlab {

/// Mean of n values with its 95 % t-interval, mean +- half_width.
struct Estimate {
  std::size_t n = 0;
  double mean = 0;        // NaN for n = 0
  double deviation = 0;   // sample standard deviation (n - 1); NaN below 2 values
  double half_width = 0;  // t(0.975; n - 1) deviation / sqrt(n); NaN below 2 values
};

[[nodiscard]] Estimate estimate(std::span<const double> values);

/// Estimate of the mean of a[i] - b[i]: what pairing by seed makes of two arms. The sizes must be equal.
[[nodiscard]] Estimate paired_difference(std::span<const double> a, std::span<const double> b);

/// NaN for no values; the mean of the middle two for an even number.
[[nodiscard]] double median(std::span<const double> values);

/// The t with P(T <= t) = p for Student's distribution with `degrees` > 0 degrees of freedom, 0 < p < 1; good
/// to 1e-10 relative.
[[nodiscard]] double student_quantile(double p, double degrees);

/// P(T <= t).
[[nodiscard]] double student_probability(double t, double degrees);

}  // namespace normlab
