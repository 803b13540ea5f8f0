#pragma once
// Lays records out in blocks: the part of the log writer that knows nothing of files and threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "host/record/log_format.hpp"

namespace normlab::log_format {

/// Turns a sequence of records into the bytes of a log. What comes out depends on the records alone, however
/// often the bytes are taken in between.
class LogPacker {
 public:
  /// Begins the first block, with the channel table. The channels must be faultless.
  explicit LogPacker(const std::vector<Channel>& channels);
  /// Goes on where a log of these channels stood.
  LogPacker(const std::vector<Channel>& channels, const LogPosition& position);

  /// Adds a record: a RecordHeader, whose checksum is filled in here, and its payload. `record` is changed.
  void add(std::span<std::byte> record);
  /// Writes the channel table (again).
  void add_table();

  /// The bytes since the last clear(), in the order of the file.
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }
  /// After all that was added.
  [[nodiscard]] LogPosition position() const;
  /// CRC32C of the channel table: what tells logs of other channels.
  [[nodiscard]] std::uint32_t table_id() const { return table_id_; }

 private:
  std::vector<std::vector<std::byte>> table_;  // framed channel records
  std::uint32_t table_id_ = 0;
  std::vector<std::byte> bytes_;
  std::size_t used_ = block_bytes;  // of the current block
  std::uint32_t blocks_ = 0;        // begun
  std::uint64_t rows_ = 0;
  std::uint32_t table_due_ = 0;  // first block to begin with another table
  bool second_copy_ = false;     // has been arranged

  void make_table(const std::vector<Channel>& channels);
  void place(std::span<const std::byte> record);
  void begin_block();
};

}  // namespace normlab::log_format
