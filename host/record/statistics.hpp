#pragma once
// What a few seeds allow one to say: mean, standard deviation, and Student's 95 % interval of the mean.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace normlab {

/// Fewer values than this have no interval: that of two is 12.7 standard errors wide on either side, and says
/// less than the two values themselves.
inline constexpr std::size_t fewest_for_interval = 3;

/// Where the values of a quantity can lie.
struct Bounds {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};
inline constexpr Bounds bounds_of_accuracy{0, 1};  // a fraction
inline constexpr Bounds bounds_of_accuracy_difference{-1, 1};
inline constexpr Bounds not_negative{0};

struct Interval {
  double low = 0, high = 0;
  bool is_cut = false;  // where the quantity cannot be
};

/// Mean of n values with its 95 % t-interval, mean +- half_width.
struct Estimate {
  std::size_t n = 0;
  double mean = 0;        // NaN for n = 0
  double deviation = 0;   // sample standard deviation (n - 1); NaN below 2 values
  double half_width = 0;  // t(0.975; n - 1) deviation / sqrt(n); NaN below fewest_for_interval values
  double lowest = 0, highest = 0;  // of the values; NaN for n = 0

  [[nodiscard]] bool has_interval() const { return n >= fewest_for_interval; }
  /// The 95 % t-interval within `bounds`. Only of an estimate that has one.
  [[nodiscard]] Interval interval(const Bounds& bounds) const;
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

/// The probability of `successes` or more in `trials` that each succeed with probability p.
[[nodiscard]] double binomial_at_least(std::int64_t successes, std::int64_t trials, double p);

}  // namespace normlab
