#pragma once
// Files as the records need them: never overwritten by accident, replaced whole or not at all, and with
// errors that name the file and the remedy.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/system/system_error.hpp"

namespace normlab {

/// The bytes of a text, as the functions here take them.
[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// An open file descriptor. Move-only; the destructor closes without a word, close() reports.
class File {
 public:
  File() = default;
  /// Takes over an open descriptor; `path` is only for error messages.
  File(int descriptor, std::filesystem::path path) : descriptor_(descriptor), path_(std::move(path)) {}
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  /// Opens for writing a file that must not exist yet. Throws Error if it does.
  [[nodiscard]] static File create(const std::filesystem::path& path);
  /// Opens a regular file for reading. Throws Error if it is missing, unreadable or not a regular file.
  [[nodiscard]] static File open(const std::filesystem::path& path);

  /// The same, for reading and writing.
  [[nodiscard]] static File open_to_change(const std::filesystem::path& path);

  /// Writes all bytes, however the kernel cuts them. Throws Error.
  void write(std::span<const std::byte> bytes);
  /// Reads up to bytes.size() bytes; fewer only at the end of the file. Returns how many. Throws Error.
  std::size_t read(std::span<std::byte> bytes);
  /// Size in bytes at the time of the call.
  [[nodiscard]] std::uint64_t size() const;
  /// Drops what lies behind the first `size` bytes, and goes on writing there.
  void cut(std::uint64_t size);
  /// Returns once the contents are on the disk (fsync); sync_data leaves out times and the like (fdatasync).
  void sync();
  void sync_data();
  void close();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  [[nodiscard]] static File open(const std::filesystem::path& path, int mode);

  int descriptor_ = -1;
  std::filesystem::path path_;
};

/// A file that appears under its name whole or not at all: written beside it as `.<name>.<pid>.tmp`, put on
/// the disk and renamed by commit(). Without commit() nothing remains and the old file, if any, stays.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(bytes_of(text)); }
  /// Returns once the contents are on the disk, still under the other name. Throws Error.
  void sync();
  /// sync, rename, fsync of the directory. Throws Error.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  File file_;
  std::vector<std::byte> buffer_;  // collects small writes
  bool synced_ = false, committed_ = false;

  void write_out(std::span<const std::byte> bytes);
};

/// Returns once the names in a directory are on the disk. Throws Error.
void sync_directory(const std::filesystem::path& directory);

/// Removes what killed processes left of files that they were writing in `directory`.
void remove_temporaries(const std::filesystem::path& directory);

/// Replaces `path` by these bytes, whole or not at all. Throws Error.
void atomic_write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
void atomic_write_file(const std::filesystem::path& path, std::string_view text);

/// The whole file. Throws Error if it is missing, or larger than `limit` bytes (checked before reading).
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit);

}  // namespace normlab
