#pragma once
// What lies where. Unlike std::filesystem's functions these tell "it is not there" from "nobody may look":
// the latter is an Error with path and remedy.

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace normlab {

/// Whether there is something, behind links if need be. Throws Error where that cannot be told.
[[nodiscard]] bool is_there(const std::filesystem::path& path);
/// The same, of a name: a link counts, wherever it leads.
[[nodiscard]] bool is_taken(const std::filesystem::path& path);
[[nodiscard]] bool is_a_directory(const std::filesystem::path& path);
[[nodiscard]] bool is_a_link(const std::filesystem::path& path);
[[nodiscard]] bool is_a_file(const std::filesystem::path& path);
/// Bytes of a file. Throws Error if it is not there, too.
[[nodiscard]] std::uint64_t bytes_in(const std::filesystem::path& path);

/// What a directory holds, by name. Throws Error.
[[nodiscard]] std::vector<std::filesystem::path> entries_of(const std::filesystem::path& directory);

/// Makes a directory and those above it. Throws Error where that fails or something else has the name.
void make_directories(const std::filesystem::path& path);

/// Which file a path leads to, whatever it is called. Throws Error where there is none.
using FileIdentity = std::pair<std::uint64_t, std::uint64_t>;
[[nodiscard]] FileIdentity identity_of(const std::filesystem::path& path);

/// The path from the root, without dots; links stay, as far as dots do not lead out of them. Throws Error
/// where the working directory is gone.
[[nodiscard]] std::filesystem::path absolute_path(const std::filesystem::path& path);
/// The same without links. Throws Error where nothing is there.
[[nodiscard]] std::filesystem::path canonical_path(const std::filesystem::path& path);

/// Whether a directory holds nothing but what does not count: a new volume has a lost+found, and there may be
/// a file `but`.
[[nodiscard]] bool is_fresh(const std::filesystem::path& directory, const std::string& but = "lost+found");

/// A directory in $TMPDIR that goes away with this object.
class ScratchDirectory {
 public:
  /// Throws Error that names TMPDIR where it is no place to write to.
  ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace normlab
