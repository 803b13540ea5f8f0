#pragma once
// A study: many runs of one experiment, several side by side, each in a directory of its own.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "experiments/options/command_line.hpp"
#include "experiments/study/sweep_table.hpp"
#include "experiments/training/run_spec.hpp"

namespace normlab {

/// What makes an experiment of its options.
struct Experiment {
  /// The runs, from the options as they stand, in the order in which they start. Throws UsageError.
  std::function<std::vector<RunSpec>()> runs;
  /// The defaults of --full.
  OptionValues full;
  /// Whether it takes --lr auto.
  bool finds_lr = false;
  /// What is printed when all is done; if there is none: the table of every study.
  std::function<std::string(std::span<const RunFigures>)> table = {};
};

/// The body of every main: parses the command line, says what it will do and what --full would do, trains
/// every run, and prints what came out and where it lies. Returns the exit status.
int run_experiment(CommandLine& line, int argc, char** argv, StudyOptions& options,
                   const Experiment& experiment);

}  // namespace normlab
