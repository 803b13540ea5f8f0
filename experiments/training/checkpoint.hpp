#pragma once

#include <filesystem>
#include <string>

#include "host/record/metric_log.hpp"
#include "host/record/run_config.hpp"
#include "host/record/safetensors.hpp"
#include "layers/graph.hpp"
#include "layers/optimizer.hpp"

namespace normlab {

/// Writes the parameters and running statistics in PyTorch's names, layout and order: c1.conv.weight,
/// c1.norm.weight, c1.norm.bias, c1.norm.running_mean, c1.norm.running_var, c1.norm.num_batches_tracked, ...
/// The metadata say what they are of and what its input is: net, norm, pixel_mean and pixel_std of
/// `settings`. The file depends on nothing else: no time, path, threads or host. `passes`: training passes
/// done, which is what num_batches_tracked counts.
void write_parameters(Graph& graph, std::int64_t passes, const RunConfig& settings,
                      const std::filesystem::path& path);

/// What a checkpoint and the log beside it say, without a graph.
struct CheckpointState {
  std::string fault;       ///< why a run cannot go on from it, in words; empty if it can
  std::int64_t steps = 0;  ///< done when it was made
  std::int64_t rows = 0;   ///< in the log when it was made
  bool sealed = true;      ///< by a checksum of the whole, which version 1 did not have
};

/// Looks at everything that a run with these settings would go on from: the checkpoint's checksums, its
/// settings, and the log up to its position. Throws Error where the checkpoint cannot be opened, or was made
/// by a newer Normlab.
[[nodiscard]] CheckpointState state_of_checkpoint(const std::filesystem::path& checkpoint,
                                                  const std::filesystem::path& log,
                                                  const RunConfig& settings);

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
/// position. `settings`: what a resumed run must agree with.
[[nodiscard]] TensorFile checkpoint_of(Graph& graph, Optimizer& optimizer, const Position& position,
                                       const RunConfig& settings);

/// Reads it back into a graph and an optimizer that were set up alike. Throws Error where the file is
/// damaged, or is of a run with other settings; the graph is then as it was.
[[nodiscard]] Position read_checkpoint(Graph& graph, Optimizer& optimizer, const std::filesystem::path& path,
                                       const RunConfig& settings);

}  // namespace normlab
