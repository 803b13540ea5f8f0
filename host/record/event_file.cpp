#include "host/record/event_file.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "host/record/crc32c.hpp"

namespace normlab {

namespace {

/// The low `bytes` bytes, the lowest first.
std::string little_endian(std::uint64_t number, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(number >> (8 * i) & 0xff);
  return text;
}

/// A message in the making. Each field begins with its number and how it is written.
class Message {
 public:
  Message& number(int field, std::int64_t value) {
    key(field, Wire::varint);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real(int field, double value) {
    key(field, Wire::fixed64);
    bytes_ += little_endian(std::bit_cast<std::uint64_t>(value), 8);
    return *this;
  }
  Message& single(int field, float value) {
    key(field, Wire::fixed32);
    bytes_ += little_endian(std::bit_cast<std::uint32_t>(value), 4);
    return *this;
  }
  Message& text(int field, std::string_view value) {
    key(field, Wire::length);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }
  Message& reals(int field, std::span<const double> values) {
    std::string packed;
    for (const double value : values) packed += little_endian(std::bit_cast<std::uint64_t>(value), 8);
    return text(field, packed);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  enum class Wire : std::uint64_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

  void key(int field, Wire wire) {
    varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire));
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Field numbers.
enum Event { event_wall_time = 1, event_step = 2, event_file_version = 3, event_summary = 5 };
enum Summary { summary_value = 1 };
enum Value { value_tag = 1, value_simple = 2, value_image = 4, value_histogram = 5 };
enum Histogram {
  histogram_min = 1,
  histogram_max = 2,
  histogram_num = 3,
  histogram_sum = 4,
  histogram_sum_squares = 5,
  histogram_bucket_limit = 6,
  histogram_bucket = 7
};
enum Image { image_height = 1, image_width = 2, image_colorspace = 3, image_bytes = 4 };
constexpr int kRgb = 3;

std::string event_of(double wall, std::int64_t step, const Message& value) {
  return Message()
      .real(event_wall_time, wall)
      .number(event_step, step)
      .message(event_summary, Message().message(summary_value, value))
      .bytes();
}

std::string masked_checksum(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes_of(bytes));
  return little_endian(std::rotr(crc, 15) + 0xa282ead8U, 4);
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& path, double wall) : file_(path) {
  record(Message().real(event_wall_time, wall).text(event_file_version, "brain.Event:2").bytes());
}

void EventFile::scalar(double wall, std::int64_t step, std::string_view tag, double value) {
  record(
      event_of(wall, step, Message().text(value_tag, tag).single(value_simple, static_cast<float>(value))));
}

void EventFile::histogram(double wall, std::int64_t step, std::string_view tag,
                          const EventHistogram& histogram) {
  // Buckets end at their limit. The sums are those of values in the middle of their buckets.
  std::vector<double> limits;
  const double width = (histogram.highest - histogram.lowest) /
                       static_cast<double>(std::max<std::size_t>(histogram.counts.size(), 1));
  double num = 0, sum = 0, squares = 0;
  for (const double count : histogram.counts) {
    const double middle = histogram.lowest + width * (static_cast<double>(limits.size()) + 0.5);
    limits.push_back(histogram.lowest + width * static_cast<double>(limits.size() + 1));
    num += count;
    sum += count * middle;
    squares += count * middle * middle;
  }
  const Message value = Message()
                            .real(histogram_min, histogram.lowest)
                            .real(histogram_max, histogram.highest)
                            .real(histogram_num, num)
                            .real(histogram_sum, sum)
                            .real(histogram_sum_squares, squares)
                            .reals(histogram_bucket_limit, limits)
                            .reals(histogram_bucket, histogram.counts);
  record(event_of(wall, step, Message().text(value_tag, tag).message(value_histogram, value)));
}

void EventFile::image(double wall, std::int64_t step, std::string_view tag, int width, int height,
                      std::string_view png) {
  const Message value = Message()
                            .number(image_height, height)
                            .number(image_width, width)
                            .number(image_colorspace, kRgb)
                            .text(image_bytes, png);
  record(event_of(wall, step, Message().text(value_tag, tag).message(value_image, value)));
}

void EventFile::record(std::string_view event) {
  const std::string length = little_endian(event.size(), 8);
  file_.write(length);
  file_.write(masked_checksum(length));
  file_.write(event);
  file_.write(masked_checksum(event));
}

}  // namespace normlab
