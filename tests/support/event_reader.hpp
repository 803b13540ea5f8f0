#pragma once
// Reads TensorBoard's event files, written from the description of the formats and from nothing of ours:
// TFRecord framing with a bitwise CRC32C, protocol buffers field by field. Whatever does not fit is an
// exception.

#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace normlab::test {

/// A field of a message: a number, or bytes.
struct ProtoField {
  int number = 0, wire = 0;
  std::uint64_t bits = 0;
  std::string bytes;

  template <typename Real>
  [[nodiscard]] Real real() const {
    Real value{};
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] std::vector<ProtoField> fields() {
    std::vector<ProtoField> all;
    while (at_ < bytes_.size()) {
      const std::uint64_t key = varint();
      ProtoField field{static_cast<int>(key >> 3), static_cast<int>(key & 7), 0, {}};
      if (field.wire == 0) {
        field.bits = varint();
      } else if (field.wire == 1 || field.wire == 5) {
        const std::string_view raw = take(field.wire == 1 ? 8 : 4);
        std::memcpy(&field.bits, raw.data(), raw.size());
      } else if (field.wire == 2) {
        field.bytes = take(varint());
      } else {
        throw std::runtime_error("unknown wire type");
      }
      all.push_back(field);
    }
    return all;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw std::runtime_error("a varint without an end");
  }
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) throw std::runtime_error("a message that ends too early");
    const std::string_view part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
};

/// One event with one value, or the first one with the file's version.
struct ReadEvent {
  double wall = 0;
  std::int64_t step = 0;
  std::string version, tag;
  bool is_scalar = false;
  float scalar = 0;
  std::map<int, double> histogram;  ///< fields 1 to 5: min, max, num, sum, sum of squares
  std::vector<double> limits, counts;
  int height = 0, width = 0, colorspace = 0;
  std::string png;
};

inline std::vector<double> packed_doubles(const std::string& bytes) {
  std::vector<double> values(bytes.size() / 8);
  if (values.size() * 8 != bytes.size()) throw std::runtime_error("packed doubles of an odd size");
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

inline void read_value(const std::string& bytes, ReadEvent& event) {
  for (const ProtoField& field : ProtoReader(bytes).fields()) {
    if (field.number == 1) event.tag = field.bytes;
    if (field.number == 2) {
      event.is_scalar = true;
      event.scalar = field.real<float>();
    }
    if (field.number == 4) {
      for (const ProtoField& part : ProtoReader(field.bytes).fields()) {
        if (part.number == 1) event.height = static_cast<int>(part.bits);
        if (part.number == 2) event.width = static_cast<int>(part.bits);
        if (part.number == 3) event.colorspace = static_cast<int>(part.bits);
        if (part.number == 4) event.png = part.bytes;
      }
    }
    if (field.number == 5) {
      for (const ProtoField& part : ProtoReader(field.bytes).fields()) {
        if (part.number <= 5) event.histogram[part.number] = part.real<double>();
        if (part.number == 6) event.limits = packed_doubles(part.bytes);
        if (part.number == 7) event.counts = packed_doubles(part.bytes);
      }
    }
  }
}

/// CRC32C a bit at a time, masked as TFRecord has it.
inline std::uint32_t masked_crc(std::string_view bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

inline std::vector<ReadEvent> read_events(std::string_view file) {
  std::vector<ReadEvent> events;
  const auto number = [&](std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    if (at + size > file.size()) throw std::runtime_error("a record that ends too early");
    std::memcpy(&value, file.data() + at, size);
    return value;
  };
  for (std::size_t at = 0; at < file.size();) {
    const std::uint64_t length = number(at, 8);
    if (number(at + 8, 4) != masked_crc(file.substr(at, 8))) throw std::runtime_error("checksum of a length");
    if (number(at + 12 + length, 4) != masked_crc(file.substr(at + 12, length)))
      throw std::runtime_error("checksum of an event");
    ReadEvent event;
    for (const ProtoField& field : ProtoReader(file.substr(at + 12, length)).fields()) {
      if (field.number == 1) event.wall = field.real<double>();
      if (field.number == 2) event.step = static_cast<std::int64_t>(field.bits);
      if (field.number == 3) event.version = field.bytes;
      if (field.number != 5) continue;
      for (const ProtoField& value : ProtoReader(field.bytes).fields()) read_value(value.bytes, event);
    }
    events.push_back(event);
    at += 16 + length;
  }
  return events;
}

}  // namespace normlab::test
