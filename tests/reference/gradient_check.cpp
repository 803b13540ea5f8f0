#include "tests/reference/gradient_check.hpp"

#include <algorithm>
#include <limits>
#include <numbers>

namespace normlab::reference {

double Draw::normal() {
  const double radius = std::sqrt(-2.0 * std::log(bits_.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * bits_.uniform());
}

int Draw::integer(int low, int high) {
  return low + static_cast<int>(bits_.below(static_cast<std::uint32_t>(high - low + 1)));
}

Values Draw::normals(std::size_t count, double mean, double deviation) {
  Values values(count);
  for (double& value : values) value = mean + deviation * normal();
  return values;
}

Values Draw::gammas(std::size_t count) {
  Values values(count);
  for (double& value : values) value = uniform(0.5, 1.5) * (integer(0, 1) == 0 ? 1 : -1);
  return values;
}

Tensor Draw::tensor(int n, int c, int h, int w, double mean, double deviation) {
  Tensor x(n, c, h, w);
  x.v = normals(x.size(), mean, deviation);
  return x;
}

double inner(const Tensor& y, const Tensor& dy) {
  require(y.same_shape(dy), "inner: two shapes");
  long double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<long double>(y.v[i]) * dy.v[i];
  return static_cast<double>(sum);
}

double central_difference(const std::function<double(double)>& loss, double h) {
  const double near = loss(h) - loss(-h);
  const double far = loss(2 * h) - loss(-2 * h);
  return (8.0 * near - far) / (12.0 * h);
}

double gradient_error(Values& variable, const Values& analytic, const std::function<double()>& loss, double h,
                      std::size_t samples) {
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

double relu_kink_distance(const Tensor& x) {
  double nearest = std::numeric_limits<double>::infinity();
  for (const double value : x.v) nearest = std::min(nearest, std::abs(value));
  return nearest;
}

double max_pool_kink_distance(const Tensor& x, bool after_relu) {
  double nearest = std::numeric_limits<double>::infinity();
  for_each(Tensor(x.n, x.c, x.h / 2, x.w / 2), [&](int n, int c, int h, int w, std::size_t) {
    auto values = window(x, n, c, h, w);
    std::sort(values.begin(), values.end());
    if (after_relu && values[3] == 0) return;
    nearest = std::min(nearest, values[3] - values[2]);
  });
  return nearest;
}

int draw_clear_of_kinks(const std::function<void()>& draw, const std::function<double()>& kink_distance,
                        double h, int attempts) {
  for (int redrawn = 0; redrawn < attempts; ++redrawn) {
    draw();
    if (kink_distance() > 10 * h) return redrawn;
  }
  throw std::runtime_error("reference: no draw without a kink within 10 h; make h or the shape smaller");
}

}  // namespace normlab::reference
