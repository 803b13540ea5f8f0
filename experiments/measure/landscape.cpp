#include "experiments/measure/landscape.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "layers/diagnostics.hpp"

namespace normlab {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double finite_or_infinite(double value) {
  return std::isfinite(value) ? value : kInfinity;
}

std::vector<float> read(Backend& backend, const float* from, std::size_t count) {
  std::vector<float> values(count);
  backend.to_host(from, values.data(), count * sizeof(float));
  return values;
}

void write(Backend& backend, const std::vector<float>& values, float* to) {
  backend.to_device(values.data(), to, values.size() * sizeof(float));
}

}  // namespace

std::array<double, 10> landscape_step_sizes() {
  std::array<double, 10> sizes{};
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = 0.5 + 3.5 * static_cast<double>(i) / 9;
  return sizes;
}

LandscapeFigures measure_landscape(Graph& graph, double lr, const std::function<double()>& gradient) {
  Backend& backend = graph.backend();
  const std::size_t count = graph.parameter_count();
  const std::vector<float> w = read(backend, graph.values(), count);
  const std::vector<float> g = read(backend, graph.gradients(), count);
  const std::vector<float> states = read(backend, graph.state_values(), graph.state_count());
  const double length = l2_norm(g);
  LandscapeFigures figures{kInfinity, -kInfinity, kInfinity, -kInfinity, 0};
  std::vector<float> moved(count);
  for (const double size : landscape_step_sizes()) {
    const double eta = size * lr;
    for (std::size_t i = 0; i < count; ++i) {
      moved[i] = static_cast<float>(static_cast<double>(w[i]) - eta * static_cast<double>(g[i]));
    }
    write(backend, moved, graph.values());
    const double loss = finite_or_infinite(gradient());
    const double change = finite_or_infinite(l2_distance(read(backend, graph.gradients(), count), g));
    figures.loss_min = std::min(figures.loss_min, loss);
    figures.loss_max = std::max(figures.loss_max, loss);
    figures.gradient_min = std::min(figures.gradient_min, change);
    figures.gradient_max = std::max(figures.gradient_max, change);
    if (change > 0) figures.beta = std::max(figures.beta, finite_or_infinite(change / (eta * length)));
  }
  write(backend, w, graph.values());
  write(backend, g, graph.gradients());
  write(backend, states, graph.state_values());
  return figures;
}

}  // namespace normlab
