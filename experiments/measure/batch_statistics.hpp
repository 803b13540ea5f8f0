#pragma once
// Batch norm's running statistics, seen from outside: taken out of a graph, put back, and replaced by exact
// averages.

#include <functional>
#include <span>
#include <vector>

#include "layers/graph.hpp"

namespace normlab {

/// The graph's running statistics; state_count() floats, none for norms that have none.
[[nodiscard]] std::vector<float> running_statistics(Graph& graph);
void set_running_statistics(Graph& graph, std::span<const float> statistics);

/// What the running statistics would be if they were the plain average, over batch(0) ... batch(count - 1),
/// of each batch's mean and unbiased variance with the parameters as they are now. Leaves the graph's own
/// undefined.
[[nodiscard]] std::vector<float> average_statistics(Graph& graph, int count,
                                                    const std::function<Batch(int)>& batch);

}  // namespace normlab
