#include "host/record/log_packer.hpp"

#include <cstring>

#include "host/record/crc32c.hpp"

namespace normlab::log_format {

namespace {

/// Fills in the checksum of a framed record.
void seal(std::span<std::byte> record) {
  const std::uint32_t checksum = crc32c(record.subspan(sizeof checksum));
  std::memcpy(record.data(), &checksum, sizeof checksum);
}

}  // namespace

LogPacker::LogPacker(const std::vector<Channel>& channels) {
  make_table(channels);
  begin_block();
  add_table();
}

LogPacker::LogPacker(const std::vector<Channel>& channels, const LogPosition& position)
    : used_((position.bytes - 1) % block_bytes + 1),
      blocks_(static_cast<std::uint32_t>((position.bytes + block_bytes - 1) / block_bytes)),
      rows_(position.rows),
      table_due_(position.table_due),
      second_copy_(true) {
  make_table(channels);
}

LogPosition LogPacker::position() const {
  return {std::uint64_t{blocks_} * block_bytes - block_bytes + used_, rows_, table_due_};
}

void LogPacker::make_table(const std::vector<Channel>& channels) {
  for (std::uint32_t index = 0; index < channels.size(); ++index) {
    const auto payload = encode_channel(channels[index], index, static_cast<std::uint32_t>(channels.size()));
    table_id_ = crc32c(payload, table_id_);
    std::vector<std::byte>& record = table_.emplace_back();
    put(record, RecordHeader{0, static_cast<std::uint16_t>(payload.size()), RecordType::channel, 0});
    record.insert(record.end(), payload.begin(), payload.end());
    seal(record);
  }
}

void LogPacker::add(std::span<std::byte> record) {
  RecordHeader header;
  std::memcpy(&header, record.data(), sizeof header);
  seal(record);
  if (used_ + record.size() > block_bytes) {
    begin_block();
    if (blocks_ > table_due_) add_table();
  }
  place(record);
  if (is_row(header.type)) ++rows_;
}

void LogPacker::add_table() {
  for (const auto& record : table_) {
    if (used_ + record.size() > block_bytes) begin_block();
    place(record);
  }
  // The first copy is followed by a second in the next block, so that even of a log without an end the loss
  // of any one block leaves a whole table.
  table_due_ = second_copy_ ? blocks_ - 1 + table_period : blocks_;
  second_copy_ = true;
}

void LogPacker::place(std::span<const std::byte> record) {
  if (used_ + record.size() > block_bytes) begin_block();  // the table may just have filled the block
  bytes_.insert(bytes_.end(), record.begin(), record.end());
  used_ += record.size();
}

/// Fills the current block with zeros and writes the header of the next.
void LogPacker::begin_block() {
  bytes_.resize(bytes_.size() + block_bytes - used_);
  BlockHeader header{magic, version, table_id_, rows_, blocks_, 0};
  header.checksum = crc32c(std::as_bytes(std::span(&header, 1)).first(header_bytes - sizeof header.checksum));
  put(bytes_, header);
  used_ = header_bytes;
  ++blocks_;
}

}  // namespace normlab::log_format
