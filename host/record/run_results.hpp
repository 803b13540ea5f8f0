#pragma once
// A run read back: what the tables and the CSV files are made of.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/record/log_reader.hpp"
#include "host/record/run_config.hpp"

namespace normlab {

/// One pass over a split. What the run did not record is absent.
struct EpochResult {
  int epoch = 0;
  std::int64_t step = 0;
  std::string split;  // train, val or test
  std::optional<double> loss, accuracy, seconds;
};

/// One optimizer step.
struct StepResult {
  int epoch = 0;
  std::int64_t step = 0;
  std::optional<double> loss, lr, grad_norm;
};

struct RunResults {
  std::filesystem::path path;  // its directory
  std::string run;             // name of its directory: gn4-b2-seed0
  std::string arm;             // norm and swept values: gn4, bn-b2; the run without its seed
  std::string norm;            // as typed: gn:4
  std::int64_t seed = 0;
  std::string status;  // done, diverged, interrupted, failed
  std::string status_message;
  RunConfig config;
  std::int64_t steps_done = 0;        // of the optimizer, in unfinished epochs, too
  std::vector<EpochResult> epochs;    // by epoch, then train, val, test
  std::vector<std::string> problems;  // damage and missing files, one sentence each

  /// The last pass over the split, nullptr if there was none.
  [[nodiscard]] const EpochResult* last(std::string_view split) const;
  /// The pass over the split with the highest accuracy (the first of equals), nullptr if there was none.
  [[nodiscard]] const EpochResult* best(std::string_view split) const;
};

/// Run directories among or directly below `paths`, each once, in the order of the tables: by norm as in
/// norm_kinds(), then by its parameter and the swept values, then by seed, as config.toml names them; last
/// come those whose config.toml cannot be read, by name. Throws Error for a path that is missing or holds no
/// run.
[[nodiscard]] std::vector<std::filesystem::path> find_runs(std::span<const std::filesystem::path> paths);

/// Whether an entry of a study's directory is one of its runs: it has a log or a configuration, and was not
/// set aside. What is called like a run and may not be entered is one, too.
[[nodiscard]] bool is_run_of_study(const std::filesystem::path& path);

/// The names of these runs, with their study where a name alone would not be unique.
[[nodiscard]] std::vector<std::string> unique_names(std::span<const std::filesystem::path> runs);

/// Reads configuration and log of one run. Missing or damaged files are reported in `problems`; throws Error
/// only if the log is no log or was made by a newer Normlab, or nobody may read it. The log itself goes to
/// `log` if that is given.
[[nodiscard]] RunResults read_run(const std::filesystem::path& directory, Log* log = nullptr);

/// Reads each of these runs in turn and hands it to `use` with its place among them, one at a time in memory.
/// A run that cannot be read does not hide the others; returns why, a sentence for each of those. Throws
/// Error if none can be read.
[[nodiscard]] std::vector<std::string> for_each_run(
    std::span<const std::filesystem::path> runs,
    const std::function<void(std::size_t place, RunResults results, Log log)>& use);

/// Appends what the log lost to `problems`, one sentence each.
void note_damage(const Log& log, const std::filesystem::path& path, std::vector<std::string>& problems);

[[nodiscard]] std::vector<EpochResult> epoch_results(const Log& log);
[[nodiscard]] std::vector<StepResult> step_results(const Log& log);

}  // namespace normlab
