#pragma once
// TensorBoard's event files: records of a TFRecord file, each of them an Event in protocol buffer encoding
// (tensorboard/compat/proto/event.proto and summary.proto name the fields).
//
// A record is its length (u64, little-endian), the masked CRC32C of those eight bytes, the bytes, and their
// masked CRC32C, mask(c) = rotate_right(c, 15) + 0xa282ead8.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "host/record/file.hpp"

namespace normlab {

/// Counts of values in neighbouring parts of equal width of [lowest, highest].
struct EventHistogram {
  double lowest = 0, highest = 0;
  std::span<const double> counts;
};

/// Writes one event file, whole or not at all: without commit() nothing remains. `wall` is a time in seconds
/// since 1970, `step` the number of optimizer steps done; tags are grouped by what stands before their first
/// '/'.
class EventFile {
 public:
  /// Throws Error when the file cannot be made.
  EventFile(const std::filesystem::path& path, double wall);

  void scalar(double wall, std::int64_t step, std::string_view tag, double value);
  void histogram(double wall, std::int64_t step, std::string_view tag, const EventHistogram& histogram);
  /// `png`: the bytes of a PNG file of this size in pixels.
  void image(double wall, std::int64_t step, std::string_view tag, int width, int height,
             std::string_view png);
  void commit() { file_.commit(); }

 private:
  void record(std::string_view event);

  AtomicFile file_;
};

}  // namespace normlab
