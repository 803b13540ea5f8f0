#pragma once
// Central finite differences in double, and how far a draw is from the kinks that would spoil them.

#include <algorithm>
#include <functional>
#include <limits>
#include <numbers>

#include "layers/philox.hpp"
#include "tests/reference/layers.hpp"

namespace normlab::reference {

/// Random numbers for tests: a Philox stream of its own.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : bits_(seed, Purpose::probe, 0xD0A3) {}

  double uniform(double low, double high) { return low + (high - low) * bits_.uniform(); }
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(bits_.uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * bits_.uniform());
  }
  /// An integer from low to high, both included.
  int integer(int low, int high) {
    return low + static_cast<int>(bits_.below(static_cast<std::uint32_t>(high - low + 1)));
  }

  Values normals(std::size_t count, double mean = 0, double deviation = 1) {
    Values values(count);
    for (double& value : values) value = mean + deviation * normal();
    return values;
  }
  /// Of either sign, between 0.5 and 1.5 in size: a gamma that is never 1 (nor near 0).
  Values gammas(std::size_t count) {
    Values values(count);
    for (double& value : values) value = uniform(0.5, 1.5) * (integer(0, 1) == 0 ? 1 : -1);
    return values;
  }
  Tensor tensor(int n, int c, int h, int w, double mean = 0, double deviation = 1) {
    Tensor x(n, c, h, w);
    x.v = normals(x.size(), mean, deviation);
    return x;
  }

 private:
  Philox bits_;
};

/// The scalar whose gradient with respect to y is dy.
inline double inner(const Tensor& y, const Tensor& dy) {
  require(y.same_shape(dy), "inner: two shapes");
  long double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<long double>(y.v[i]) * dy.v[i];
  return static_cast<double>(sum);
}

/// The derivative of `loss(t)` at t = 0 by the central difference of fourth order (points at h and 2 h on
/// either side): its error is of order h^4, so that h = 1e-4 leaves only rounding.
inline double central_difference(const std::function<double(double)>& loss, double h) {
  const double near = loss(h) - loss(-h);
  const double far = loss(2 * h) - loss(-2 * h);
  return (8.0 * near - far) / (12.0 * h);
}

/// max|a - n| / max|n| over the elements of `variable`, n the finite difference of loss() in that element
/// and a = analytic. loss() must read `variable`, which is left as it was. Where the true gradient is
/// exactly 0 everywhere (a group of one element), the analytic one must be, too. Of a large variable only
/// `samples` elements are checked, evenly spread.
inline double gradient_error(Values& variable, const Values& analytic, const std::function<double()>& loss,
                             double h = 1e-4, std::size_t samples = 1000) {
  require(variable.size() == analytic.size(), "gradient_error: the gradient has another size");
  double difference = 0;
  double scale = 0;
  const std::size_t checked = std::min(samples, variable.size());
  for (std::size_t k = 0; k < checked; ++k) {
    const std::size_t i = k * variable.size() / checked;
    const double value = variable[i];
    const auto moved = [&](double step) {
      variable[i] = value + step;
      return loss();
    };
    const double numeric = central_difference(moved, h);
    variable[i] = value;
    if (!std::isfinite(analytic[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(analytic[i] - numeric));
    scale = std::max(scale, std::abs(numeric));
  }
  if (difference == 0) return 0;
  return scale == 0 ? std::numeric_limits<double>::infinity() : difference / scale;
}

/// How far x is from the nearest kink of a ReLU: the smallest |x|.
inline double relu_kink_distance(const Tensor& x) {
  double nearest = std::numeric_limits<double>::infinity();
  for (const double value : x.v) nearest = std::min(nearest, std::abs(value));
  return nearest;
}

/// The same for a 2x2 max pool: the smallest lead of a maximum over the runner-up of its window. After a ReLU
/// a window of zeros is no kink of the pool: all its elements are flat.
inline double max_pool_kink_distance(const Tensor& x, bool after_relu = false) {
  double nearest = std::numeric_limits<double>::infinity();
  for_each(Tensor(x.n, x.c, x.h / 2, x.w / 2), [&](int n, int c, int h, int w, std::size_t) {
    auto values = window(x, n, c, h, w);
    std::sort(values.begin(), values.end());
    if (after_relu && values[3] == 0) return;
    nearest = std::min(nearest, values[3] - values[2]);
  });
  return nearest;
}

/// Draws until no kink is within 10 h of the draw; returns how many draws were thrown away.
inline int draw_clear_of_kinks(const std::function<void()>& draw,
                               const std::function<double()>& kink_distance, double h, int attempts = 1000) {
  for (int redrawn = 0; redrawn < attempts; ++redrawn) {
    draw();
    if (kink_distance() > 10 * h) return redrawn;
  }
  throw std::runtime_error("reference: no draw without a kink within 10 h; make h or the shape smaller");
}

}  // namespace normlab::reference
