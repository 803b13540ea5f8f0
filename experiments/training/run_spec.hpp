#pragma once
// One run of a study: what it trains, and what it is called.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "experiments/options/options.hpp"
#include "host/data/dataset.hpp"
#include "host/record/run_config.hpp"

namespace normlab {

/// One arm of a study at one seed: everything in which the runs of a study may differ. The rest is the same
/// for all of them and stands in StudyOptions.
struct RunSpec {
  Norm norm;
  std::uint64_t seed = 0;
  double lr = 0.1;        ///< peak
  std::string lr_choice;  ///< how that was chosen: see rate_choice
  std::string lr_test;    ///< what a range test found at which rate, if that chose lr
  Network net = "net_a";
  double width = 1;
  Parsed<parse_initialization> init = "he";
  double clip = 0;
  int epochs = 4;
  int batch_size = 32;
  int micro_batch = 0;
  /// The last evaluation is repeated with batch statistics and with re-estimated ones.
  bool other_statistics = false;
  /// Keys of config.toml that the study varies besides norm and seed, the most interesting one first.
  std::vector<std::string> swept;

  /// `bn-b2-seed0`: norm, swept values in the order of DESIGN, seed. Unique in its study.
  [[nodiscard]] std::string name() const;
  /// The name without its seed.
  [[nodiscard]] std::string arm() const;
  /// What stands in config.toml for a key that can be swept.
  [[nodiscard]] std::string value_of(std::string_view key) const;
  /// Samples that one pass takes.
  [[nodiscard]] int pass_size() const { return micro_batch > 0 ? micro_batch : batch_size; }
  /// Runs with equal text are equally fast.
  [[nodiscard]] std::string kind() const;
};

/// A run as the options have it, with nothing swept.
[[nodiscard]] RunSpec run_of(const StudyOptions& options, const Norm& norm, std::uint64_t seed);

/// Throws UsageError for a run that cannot be: values out of range, a network that does not exist or that the
/// norm does not fit, two runs of one name. Nothing is loaded or written.
void check_runs(const StudyOptions& options, std::span<const RunSpec> runs);

/// Everything that decides what a run finds, but for the build and the instruction set, by the keys of
/// config.toml: two runs that agree on it are the same.
[[nodiscard]] RunConfig settings_of(const StudyOptions& options, const RunSpec& spec, const Dataset& data);

}  // namespace normlab
