#pragma once
// Where results lie: runs/<study>/<run>/ with config.toml, metrics.nlog and final.safetensors. Nothing is
// ever overwritten. How a run ended stands in its log, as the outcome.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/record/checkpoint_files.hpp"
#include "host/record/file.hpp"
#include "host/record/run_config.hpp"

namespace normlab {

/// In the directory of a study: its options, as a file for --config, and the study that found its learning
/// rates.
inline constexpr const char* kStudyFile = "study.toml";
inline constexpr const char* kRateTests = "lr-test";

/// The directory of one run.
class RunDirectory {
 public:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string name() const { return path_.filename().string(); }
  [[nodiscard]] std::filesystem::path config() const { return path_ / "config.toml"; }
  [[nodiscard]] std::filesystem::path metrics() const { return path_ / "metrics.nlog"; }
  [[nodiscard]] CheckpointFiles checkpoints() const { return CheckpointFiles(path_); }
  [[nodiscard]] std::filesystem::path final_parameters() const { return path_ / "final.safetensors"; }

  void write_config(const RunConfig& config) const;

 private:
  std::filesystem::path path_;
};

/// Whether a directory of this name holds what is left of a run that was started anew: see set_aside.
[[nodiscard]] bool is_set_aside(std::string_view name);

/// The directory of a study, which holds those of its runs. One process at a time writes there.
class StudyDirectory {
 public:
  /// Makes the directory: `out` if given, else <root>/<experiment>-<yyyymmdd-hhmmss> (local time), with
  /// <root>/latest pointing to it. An empty directory will do (a mounted volume, mktemp -d). Throws Error
  /// if there is something in `out` or nothing can be written there.
  [[nodiscard]] static StudyDirectory create(std::string_view experiment,
                                             const std::optional<std::filesystem::path>& out,
                                             const std::filesystem::path& root = "runs");

  /// Opens the directory of a study to go on with it. Throws Error if it is not there or another process is
  /// at work in it.
  [[nodiscard]] static StudyDirectory open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Whether other processes are kept away; some file systems know no locks.
  [[nodiscard]] bool is_locked() const { return is_locked_; }
  /// Renames the directory of a run to <run>.unfinished-1 (or -2, ...), where no table counts it.
  void set_aside(std::string_view run) const;
  /// Makes the directory of a run. Throws Error if it exists. Several threads may call at once.
  [[nodiscard]] RunDirectory create_run(std::string_view run) const;
  /// The directory of a run that goes on, or a new one.
  [[nodiscard]] RunDirectory open_run(std::string_view run) const;

 private:
  explicit StudyDirectory(std::filesystem::path path);
  std::filesystem::path path_;
  File lock_;  ///< the kernel lets go of it however the process ends
  bool is_locked_ = false;
};

}  // namespace normlab
