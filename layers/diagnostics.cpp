#include "layers/diagnostics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

/// Sum of f(value), with partial sums side by side for the vector units.
template <typename F>
double sum_of(std::span<const float> values, F f) {
  constexpr std::size_t kParts = 8;
  double parts[kParts] = {};
  std::size_t i = 0;
  for (; i + kParts <= values.size(); i += kParts) {
    for (std::size_t k = 0; k < kParts; ++k) parts[k] += f(static_cast<double>(values[i + k]));
  }
  for (; i < values.size(); ++i) parts[0] += f(static_cast<double>(values[i]));
  return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

}  // namespace

Moments moments(std::span<const float> values, const Shape& shape) {
  if (values.empty() || values.size() != shape.count()) {
    throw Error("moments: {} values are not {}", values.size(), shape.str());
  }
  const auto count = static_cast<double>(values.size());
  const double mean = sum_of(values, [](double value) { return value; }) / count;
  const double squares = sum_of(values, [mean](double value) { return (value - mean) * (value - mean); });
  int dead = 0;
  const auto pixels = as_size(shape.pixels());
  for (std::size_t c = 0; c < as_size(shape.c); ++c) {
    bool lives = false;
    for (std::size_t n = 0; n < as_size(shape.n) && !lives; ++n) {
      const auto plane = values.subspan(n * shape.per_sample() + c * pixels, pixels);
      lives = std::any_of(plane.begin(), plane.end(), [](float value) { return value != 0; });
    }
    dead += lives ? 0 : 1;
  }
  return {mean, squares / count, static_cast<double>(dead) / shape.c};
}

std::optional<Outlier> find_outlier(std::span<const float> values, double times) {
  float largest = 0;
  std::size_t alive = 0;
  for (const float value : values) {
    const float size = std::abs(value);
    const bool counts = size > 0 && size <= std::numeric_limits<float>::max();
    largest = counts ? std::max(largest, size) : largest;
    alive += counts ? 1 : 0;
  }
  const auto limit = static_cast<float>(static_cast<double>(largest) / times);
  const auto is_dwarfed = [limit](float value) { return value != 0 && std::abs(value) < limit; };
  const auto dwarfed = as_size(std::ranges::count_if(values, is_dwarfed));
  if (2 * dwarfed <= alive) return std::nullopt;
  const auto sum = [&](auto f) {
    double total = 0;
    for (const float value : values) total += is_dwarfed(value) ? f(static_cast<double>(value)) : 0;
    return total / static_cast<double>(dwarfed);
  };
  const double mean = sum([](double value) { return value; });
  const double variance = sum([mean](double value) { return (value - mean) * (value - mean); });
  return Outlier{static_cast<double>(largest), std::sqrt(variance)};
}

std::vector<float> histogram(std::span<const float> values, int bins) {
  float lo = std::numeric_limits<float>::infinity(), hi = -lo;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    lo = std::min(lo, value);
    hi = std::max(hi, value);
  }
  if (lo > hi) lo = hi = 0;
  std::vector<int> counts(as_size(bins));
  const double first = static_cast<double>(lo), range = static_cast<double>(hi) - first;
  const double scale = range > 0 ? bins / range : 0;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    const int bin = static_cast<int>((static_cast<double>(value) - first) * scale);
    ++counts[as_size(std::min(bin, bins - 1))];
  }
  std::vector<float> row{lo, hi};
  for (const int count : counts) row.push_back(static_cast<float>(count));
  return row;
}

double l2_norm(std::span<const float> values) {
  return std::sqrt(sum_of(values, [](double value) { return value * value; }));
}

double l2_distance(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) throw Error("l2_distance: {} values and {} values", a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

}  // namespace normlab
