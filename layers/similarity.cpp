#include "layers/similarity.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

/// Partial sums side by side keep the vector units busy.
double dot(std::span<const float> a, std::span<const float> b) {
  constexpr std::size_t kParts = 8;
  std::array<double, kParts> parts{};
  std::size_t i = 0;
  for (; i + kParts <= a.size(); i += kParts) {
    for (std::size_t k = 0; k < kParts; ++k)
      parts[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
  }
  for (; i < a.size(); ++i) parts[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

/// The largest eigenvalue of a symmetric matrix without negative ones, by power iteration: the Rayleigh
/// quotient's error is the square of the vector's. The start is in no symmetric position to any eigenvector.
double largest_eigenvalue(const std::vector<double>& k, std::size_t n) {
  constexpr int kRounds = 1000;
  std::vector<double> v(n), kv(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = 1 + 1 / (static_cast<double>(i) + 2);
  double eigenvalue = 0;
  for (int round = 0; round < kRounds; ++round) {
    double vkv = 0, vv = 0, length = 0;
    for (std::size_t i = 0; i < n; ++i) {
      kv[i] = 0;
      for (std::size_t j = 0; j < n; ++j) kv[i] += k[i * n + j] * v[j];
      vkv += v[i] * kv[i];
      vv += v[i] * v[i];
      length += kv[i] * kv[i];
    }
    const double before = eigenvalue;
    eigenvalue = vkv / vv;
    if (std::abs(eigenvalue - before) <= 1e-13 * eigenvalue) break;
    length = std::sqrt(length);
    for (std::size_t i = 0; i < n; ++i) v[i] = kv[i] / length;
  }
  return eigenvalue;
}

}  // namespace

Similarity similarity(std::span<const float> activations, int samples) {
  if (samples < 1 || activations.size() % as_size(samples) != 0) {
    throw Error("similarity: {} values are not {} samples of one size", activations.size(), samples);
  }
  const auto n = as_size(samples);
  const std::size_t size = activations.size() / n;
  const auto row = [&](std::size_t i) { return activations.subspan(i * size, size); };
  std::vector<double> products(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) products[i * n + j] = products[j * n + i] = dot(row(i), row(j));
  }
  return similarity_of(products, samples);
}

Similarity similarity_of(std::span<const double> products, int samples) {
  const auto n = as_size(samples);
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> scale(n), k(n * n);
  double trace = 0, cosines = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double square = products[i * n + i];
    scale[i] = square > 0 ? 1 / std::sqrt(square) : 0;
    k[i * n + i] = square > 0 ? 1 : 0;
    trace += k[i * n + i];
    for (std::size_t j = 0; j < i; ++j) {
      k[i * n + j] = k[j * n + i] = scale[i] * scale[j] * products[i * n + j];
      cosines += k[i * n + j];
    }
    if (!std::isfinite(square)) cosines = nan;
  }
  if (!std::isfinite(cosines)) return {nan, nan};
  const double pairs = static_cast<double>(n) * static_cast<double>(n - 1) / 2;
  return {n > 1 ? cosines / pairs : nan, trace > 0 ? trace / largest_eigenvalue(k, n) : nan};
}

}  // namespace normlab
