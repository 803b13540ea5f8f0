#pragma once
// One run: train one network with one norm from one seed, and record everything.

#include <functional>

#include "experiments/common/options.hpp"
#include "experiments/common/progress.hpp"
#include "host/data/dataset.hpp"
#include "host/record/run_directory.hpp"

namespace normlab {

/// Of CIFAR-10's training set, as PyTorch recipes have them; used for every data set.
inline constexpr std::array<float, 3> kImageMean{0.4914F, 0.4822F, 0.4465F};
inline constexpr std::array<float, 3> kImageStd{0.247F, 0.2435F, 0.2616F};

/// One arm of a study at one seed.
struct RunSpec {
  Norm norm;
  std::uint64_t seed = 0;
  double lr = 0.1;

  [[nodiscard]] std::string name() const;
};

/// What evaluating an image costs, in images trained on: the forward pass is a third.
inline constexpr double kEvaluationWork = 1.0 / 3;

/// Where a run's time went, in seconds.
struct RunTimes {
  double training = 0;    ///< optimizer steps
  double evaluation = 0;  ///< forward passes over the validation and test sets
  double diagnosis = 0;   ///< looking inside the network
  double total = 0;
};

struct RunOutcome {
  enum class Status { done, diverged, interrupted };
  Status status = Status::done;
  double test_accuracy = 0;
  RunTimes times;
};

/// Set by SIGINT and SIGTERM: the step is finished, what was measured is kept, the run ends as interrupted.
[[nodiscard]] bool interrupted();
/// Ends all runs as a signal would: one of them failed.
void stop_runs();
void handle_signals();

/// Trains and writes metrics.nlog, config.toml and final.safetensors into `directory`. A non-finite loss ends
/// the run as diverged, which is a result, not an error. `processors` is asked before each step how many of
/// them may work at it.
RunOutcome train(const StudyOptions& options, const RunSpec& spec, const Dataset& data,
                 const std::function<int()>& processors, const RunDirectory& directory, Progress& progress,
                 int run);

}  // namespace normlab
