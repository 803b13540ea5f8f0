#pragma once

#include <filesystem>

#include "layers/graph.hpp"

namespace normlab {

/// Writes the parameters and running statistics in PyTorch's names, layout and order: c1.conv.weight,
/// c1.norm.weight, c1.norm.bias, c1.norm.running_mean, c1.norm.running_var, c1.norm.num_batches_tracked, ...
/// The file depends on nothing else: no time, path, threads or host.
void write_parameters(Graph& graph, std::int64_t steps, const std::string& net, const std::string& norm,
                      const std::filesystem::path& path);

}  // namespace normlab
