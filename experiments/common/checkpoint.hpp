#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "host/record/metric_log.hpp"
#include "host/record/safetensors.hpp"
#include "layers/graph.hpp"
#include "layers/optimizer.hpp"

namespace normlab {

/// Writes the parameters and running statistics in PyTorch's names, layout and order: c1.conv.weight,
/// c1.norm.weight, c1.norm.bias, c1.norm.running_mean, c1.norm.running_var, c1.norm.num_batches_tracked, ...
/// The file depends on nothing else: no time, path, threads or host. `passes`: training passes done, which
/// is what num_batches_tracked counts.
void write_parameters(Graph& graph, std::int64_t passes, const std::string& net, const std::string& norm,
                      const std::filesystem::path& path);

/// Why a run cannot go on from this checkpoint beside this log, in words; none if it can, as far as the two
/// files tell. Throws Error where the checkpoint cannot be opened, or was made by a newer Normlab.
[[nodiscard]] std::optional<std::string> fault_of_checkpoint(const std::filesystem::path& checkpoint,
                                                             const std::filesystem::path& log);

/// Where a run stands between two steps, beside its parameters and the optimizer's state.
struct Position {
  int epoch = 1;             ///< the one going on, from 1
  std::int64_t samples = 0;  ///< of this epoch that are done
  std::int64_t steps = 0;    ///< of the optimizer, in all
  std::int64_t passes = 0;   ///< of training, in all
  double loss_sum = 0;       ///< over this epoch's samples
  std::int64_t correct = 0;  ///< of them
  double seconds = 0;        ///< of this epoch's training
  LogPosition log;

  bool operator==(const Position&) const = default;
};

/// Everything that the rest of a run depends on: parameters, running statistics,
/// the optimizer's state as optimizer.<parameter>.momentum (or .first_moment and .second_moment), and the
/// position. `configuration` is the text of config.toml: what a resumed run must agree with.
[[nodiscard]] TensorFile checkpoint_of(Graph& graph, Optimizer& optimizer, const Position& position,
                                       const std::string& configuration);

/// Reads it back into a graph and an optimizer that were set up alike. Throws Error where the file is
/// damaged, or is of another network, norm or optimizer; the graph is then as it was.
[[nodiscard]] Position read_checkpoint(Graph& graph, Optimizer& optimizer, const std::filesystem::path& path);

}  // namespace normlab
