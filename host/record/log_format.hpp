#pragma once
// The layout of the metric log, shared by writer and reader. FORMAT.md says the same in words.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "host/record/channel.hpp"

namespace normlab::log_format {

static_assert(std::endian::native == std::endian::little, "the file formats are little-endian");

inline constexpr std::uint32_t version = 1;
/// As in PNG: a byte over 127 and both line ends, so that a transfer as text shows.
inline constexpr std::array<std::uint8_t, 8> magic{0x89, 'N', 'L', 'O', 'G', '\r', '\n', 0x1A};

inline constexpr std::size_t block_bytes = 32 * 1024;
inline constexpr std::size_t header_bytes = 32;
inline constexpr std::size_t record_bytes = 8;  // of a record's own header
inline constexpr std::size_t payload_limit = block_bytes - header_bytes - record_bytes;
inline constexpr std::size_t row_bytes = 16;  // of a row before its values
inline constexpr std::uint32_t table_period = 64;

inline constexpr std::size_t channel_limit = 4096;
inline constexpr std::size_t text_limit = 255;
inline constexpr std::size_t axis_limit = 4;
inline constexpr std::size_t message_limit = 1000;
inline constexpr std::size_t float_limit = (payload_limit - row_bytes) / sizeof(float);
inline constexpr std::size_t prediction_bytes = sizeof(Prediction);
static_assert(prediction_bytes == 12 && std::is_trivially_copyable_v<Prediction>);
inline constexpr std::size_t prediction_limit = (payload_limit - row_bytes) / prediction_bytes;

/// Beginning of each block. The checksum is over the 28 bytes before it. Magic, version and checksum keep
/// their places in every later version.
struct BlockHeader {
  std::array<std::uint8_t, 8> magic;
  std::uint32_t version;
  std::uint32_t table_id;   // CRC32C of the payloads of all channel records
  std::uint64_t first_row;  // rows in the blocks before
  std::uint32_t block;      // counts from 0
  std::uint32_t checksum;
};
static_assert(sizeof(BlockHeader) == header_bytes && std::is_trivially_copyable_v<BlockHeader>);

enum class RecordType : std::uint8_t {
  padding = 0,  // eight zero bytes: nothing but zeros up to the end of the block
  channel = 1,
  doubles = 2,
  floats = 3,
  predictions = 4,
  outcome = 5,
};

/// Beginning of each record. The checksum is over the rest of this header and the payload.
struct RecordHeader {
  std::uint32_t checksum;
  std::uint16_t length;  // of the payload
  RecordType type;
  std::uint8_t zero;
};
static_assert(sizeof(RecordHeader) == record_bytes && payload_limit <= 0xFFFF);

/// Beginning of the payload of doubles, floats and predictions.
struct RowHeader {
  std::uint32_t channel;
  std::int32_t epoch;
  std::int64_t step;
};
static_assert(sizeof(RowHeader) == row_bytes);

[[nodiscard]] inline bool is_row(RecordType type) {
  return type == RecordType::doubles || type == RecordType::floats || type == RecordType::predictions;
}

/// The record that carries the rows of a channel of this kind.
[[nodiscard]] inline RecordType record_of(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::vector:
    case ChannelKind::histogram:
      return RecordType::floats;
    case ChannelKind::prediction:
      return RecordType::predictions;
    default:
      return RecordType::doubles;
  }
}

/// Appends the bytes of a plain value.
template <typename T>
requires std::is_trivially_copyable_v<T>
void put(std::vector<std::byte>& to, const T& value) {
  const std::size_t before = to.size();
  to.resize(before + sizeof value);
  std::memcpy(to.data() + before, &value, sizeof value);
}

/// Reads plain values off the front of some bytes. Past their end it yields zeros and is no longer good().
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  requires std::is_trivially_copyable_v<T> T take() {
    T value{};
    const auto bytes = take_bytes(sizeof(T));
    if (good_) std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> take_bytes(std::size_t count) {
    if (count > bytes_.size()) good_ = false;
    if (!good_) return {};
    const auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }
  [[nodiscard]] bool good() const { return good_; }

 private:
  std::span<const std::byte> bytes_;
  bool good_ = true;
};

/// Payload of a channel record: u32 index, u32 number of channels, u8 kind, u8 axes, u16 labels, u32 for each
/// axis, then name, unit and labels, each a u16 length and its bytes.
[[nodiscard]] std::vector<std::byte> encode_channel(const Channel& channel, std::uint32_t index,
                                                    std::uint32_t count);

struct ChannelRecord {
  std::uint32_t index = 0;
  std::uint32_t count = 0;
  Channel channel;
};
/// False if the payload breaks any rule of a channel.
[[nodiscard]] bool decode_channel(std::span<const std::byte> payload, ChannelRecord& record);

/// Elements of a row of this channel; 0 for predictions, whose rows vary.
[[nodiscard]] std::size_t elements_of(const Channel& channel);
/// What is wrong with a channel, empty if nothing.
[[nodiscard]] std::string fault_of(const Channel& channel);

}  // namespace normlab::log_format
