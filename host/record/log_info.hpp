#pragma once
// What `normlog info` prints: the contents of a file or run in words.

#include <filesystem>
#include <string>
#include <vector>

namespace normlab {

/// A metric log or a .safetensors file. Damage is appended to `problems`, one sentence each. Throws Error if
/// the file is neither.
[[nodiscard]] std::string file_info(const std::filesystem::path& path, std::vector<std::string>& problems);

/// A run: its configuration, its log and its final parameters.
[[nodiscard]] std::string run_info(const std::filesystem::path& run, std::vector<std::string>& problems);

}  // namespace normlab
