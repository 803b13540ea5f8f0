#pragma once
// The checkpoints of a run: how many stay, what they are called, and which of them can be gone on from.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "host/record/safetensors.hpp"

namespace normlab {

/// checkpoint.safetensors is the newest; those before it that are kept are checkpoint-<steps>.safetensors, by
/// the steps done. Whenever the process or the machine stops, the newest that was announced is there under
/// one of these names, whole.
class CheckpointFiles {
 public:
  explicit CheckpointFiles(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// Those that are there, the newest first.
  [[nodiscard]] std::vector<std::filesystem::path> newest_first() const;

  /// Makes `file`, of a run that has done `steps`, the newest; of those before it `keep` - 1 stay. Throws
  /// Error.
  void add(const TensorFile& file, std::int64_t steps, int keep);

  /// A run goes on from the newest that is there, which has done `steps`: older ones that a killed process
  /// left are removed, so that `keep` stay. Throws Error.
  void go_on(std::int64_t steps, int keep);

  /// Renames a damaged one to <name>.damaged-1 (or -2, ...), where nothing looks for checkpoints.
  static void set_aside(const std::filesystem::path& checkpoint);

 private:
  std::filesystem::path directory_;
  std::optional<std::int64_t> newest_steps_;

  void remove_older(int keep) const;
};

}  // namespace normlab
