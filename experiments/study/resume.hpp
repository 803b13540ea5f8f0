#pragma once
// Going on with a study that stopped: what is there already, and whether it was made the same way.

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "experiments/options/command_line.hpp"
#include "experiments/training/run_spec.hpp"
#include "host/record/run_directory.hpp"

namespace normlab {

/// Writes every option as it stands that decides what the study finds.
void write_study_file(CommandLine& line, const StudyDirectory& study);

/// Options that were not typed become those of the study. Throws UsageError where the directory holds no
/// study, or where --full is typed and the study was made without.
void restore_options(CommandLine& line, const StudyOptions& options);

/// What a study directory still lacks.
struct Remaining {
  std::vector<RunSpec> runs;  ///< to do, in order
  std::size_t finished = 0;   ///< runs that are done or diverged, and stay
  std::size_t begun = 0;      ///< of `runs`: they go on from their checkpoints
  std::vector<std::string> notes =
      {};  ///< where each goes on, what was damaged, what became of it; a line each
};

/// Looks at each run. One that did not end goes on from the newest of its checkpoints that is good; damaged
/// ones are set aside, and so is a run that has none, to be started anew.
/// Throws UsageError, before anything is moved, if a run that is there was made with other options, naming
/// the option and both values, or if one would go on that was begun on another machine or with another build,
/// and that is not allowed.
[[nodiscard]] Remaining remaining_runs(const StudyDirectory& study, const StudyOptions& options,
                                       std::span<const RunSpec> runs, const Dataset& data);

}  // namespace normlab
