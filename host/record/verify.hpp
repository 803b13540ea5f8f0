#pragma once
// What `normlog verify` does: tells damaged files from good ones, and says what the damage costs.

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace normlab {

/// One file that was read from the first byte to the last.
struct Verified {
  enum class State { good, unfinished, damaged, unreadable };
  std::filesystem::path path;
  State state = State::good;
  std::vector<std::string> lines;  ///< what it holds, or what is wrong and what that costs; at least one
};

/// Checks every block and record of a log, every checksum of a .safetensors file, or that a config.toml can
/// be read. A log is unfinished when it has no end, or ends within a record: its run goes on or was killed,
/// and nothing that had been written whole is lost. Never throws for what is in the file or for want of
/// permission; throws Error only where there is no such file.
[[nodiscard]] Verified verify_file(const std::filesystem::path& path);

/// All files of the runs among or below `paths`; a path that is a file is checked by itself. Files that a
/// finished run must have and lacks are damaged, too.
[[nodiscard]] std::vector<Verified> verify(std::span<const std::filesystem::path> paths);

}  // namespace normlab
