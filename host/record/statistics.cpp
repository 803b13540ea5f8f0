#include "host/record/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "layers/error.hpp"

namespace normlab {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The regularized incomplete beta function I_x(a, b), for x below about (a + 1) / (a + b + 2), by its
/// continued fraction 1 / (1 + d_1 / (1 + d_2 / (1 + ...))) in Lentz's form:
/// d_{2m} = m (b - m) x / ((a + 2m - 1)(a + 2m)),
/// d_{2m+1} = -(a + m)(a + b + m) x / ((a + 2m)(a + 2m + 1)).
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  const auto away_from_zero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double fraction = d;
  for (int m = 1; m < 100'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    fraction *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    fraction *= d * c;
    if (std::abs(d * c - 1) < 1e-16) break;
  }
  const double log_front =
      std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x);
  return std::exp(log_front) * fraction / a;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast on one side only; the other follows from I_x(a, b) = 1 - I_{1-x}(b, a).
  return x < (a + 1) / (a + b + 2) ? beta_fraction(a, b, x) : 1 - beta_fraction(b, a, 1 - x);
}

}  // namespace

Interval Estimate::interval(const Bounds& bounds) const {
  const double low = mean - half_width, high = mean + half_width;
  return {std::max(low, bounds.low), std::min(high, bounds.high), low < bounds.low || high > bounds.high};
}

Estimate estimate(std::span<const double> values) {
  Estimate result{values.size(), nan, nan, nan, nan, nan};
  if (values.empty()) return result;
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  result.lowest = *lowest;
  result.highest = *highest;
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  result.mean = sum / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / (n - 1));
  if (!result.has_interval()) return result;
  result.half_width = student_quantile(0.975, n - 1) * result.deviation / std::sqrt(n);
  return result;
}

Estimate paired_difference(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) throw Error("cannot pair {} values with {}", a.size(), b.size());
  std::vector<double> differences(a.size());
  std::transform(a.begin(), a.end(), b.begin(), differences.begin(), std::minus<>());
  return estimate(differences);
}

double median(std::span<const double> values) {
  if (values.empty()) return nan;
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double student_probability(double t, double degrees) {
  const double tail = incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2;
  return t > 0 ? 1 - tail : tail;
}

double binomial_at_least(std::int64_t successes, std::int64_t trials, double p) {
  if (successes <= 0) return 1;
  if (successes > trials) return 0;
  return incomplete_beta(static_cast<double>(successes), static_cast<double>(trials - successes + 1), p);
}

double student_quantile(double p, double degrees) {
  if (!(p > 0 && p < 1 && degrees > 0))
    throw Error("Student's quantile is defined for 0 < p < 1 and degrees > 0, not p = {}, degrees = {}", p,
                degrees);
  // By symmetry only the lower tail is searched, where probabilities keep all their digits.
  if (p > 0.5) return -student_quantile(1 - p, degrees);
  if (p == 0.5) return 0;
  double low = -1, high = 0;
  while (student_probability(low, degrees) > p) low *= 2;
  for (double middle = (low + high) / 2; low < middle && middle < high; middle = (low + high) / 2)
    (student_probability(middle, degrees) < p ? low : high) = middle;
  return (low + high) / 2;
}

}  // namespace normlab
