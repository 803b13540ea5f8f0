#include "experiments/measure/batch_statistics.hpp"

#include "layers/kernels/statistics.hpp"

namespace normlab {

std::vector<float> running_statistics(Graph& graph) {
  std::vector<float> statistics(graph.state_count());
  graph.backend().to_host(graph.state_values(), statistics.data(), statistics.size() * sizeof(float));
  return statistics;
}

void set_running_statistics(Graph& graph, std::span<const float> statistics) {
  graph.backend().to_device(statistics.data(), graph.state_values(), statistics.size() * sizeof(float));
}

std::vector<float> average_statistics(Graph& graph, int count, const std::function<Batch(int)>& batch) {
  const std::vector<float> zeros(graph.state_count());
  std::vector<double> sums(graph.state_count());
  for (int i = 0; i < count; ++i) {
    // From 0 the running statistics move to momentum times the batch's.
    set_running_statistics(graph, zeros);
    graph.forward(batch(i));
    const std::vector<float> moved = running_statistics(graph);
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += static_cast<double>(moved[k]);
  }
  std::vector<float> average(sums.size());
  for (std::size_t k = 0; k < sums.size(); ++k) {
    average[k] = static_cast<float>(sums[k] / count / static_cast<double>(kRunningMomentum));
  }
  return average;
}

}  // namespace normlab
