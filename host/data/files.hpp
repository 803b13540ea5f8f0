#pragma once
// Whole files, read and written with errors that say which file and why.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace normlab {

/// All bytes of `path`. Throws Error when it cannot be read or is larger than `limit` bytes (checked before
/// memory is taken).
std::vector<std::uint8_t> read_file(const std::filesystem::path& path, std::uint64_t limit);

/// Writes `path` whole or not at all: to a temporary file beside it, then renamed. An existing file is
/// replaced only when `replace` is set. Throws Error; a full disk leaves nothing behind.
void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes, bool replace = false);

/// The bytes of a text, as they are written.
inline std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace normlab
