#pragma once
// What a metric log holds: channels, whose rows are numbers or predictions, how the run ended,
// and how far the log got.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace normlab {

/// What the rows of a channel hold. The values are part of the file format: append, never renumber.
enum class ChannelKind : std::uint8_t {
  scalar = 1,      // one double
  vector = 2,      // one float for each element of the channel's shape
  histogram = 3,   // the same, counts or densities; the last axis of the shape are the bins
  prediction = 4,  // one Prediction for each image, over as many rows as needed
  time = 5,        // one double, in seconds; outside every promise of equality between runs
};

[[nodiscard]] std::string_view name_of(ChannelKind kind);

/// One quantity that a run records. Names used by the experiments: `step.loss`, `step.lr`, `step.grad_norm`;
/// `train.loss`, `train.accuracy`, `train.seconds` (and so for `val.`, `test.`); `test.predictions`;
/// what diagnostic_channels.hpp lists, such as `layer.<metric>`, a vector over layers.
struct Channel {
  std::string name;  // at most 255 bytes, unique in its log
  ChannelKind kind = ChannelKind::scalar;
  std::string unit;                 // "", "s", "images", ...; at most 255 bytes
  std::vector<int> shape;           // empty: one value. vector, histogram: elements of a row, at most 4 axes
  std::vector<std::string> labels;  // names along the first axis; empty or shape[0] of them

  bool operator==(const Channel&) const = default;
};

/// What the network said about one image.
struct Prediction {
  std::uint32_t image = 0;      // index in its split
  std::uint16_t predicted = 0;  // class with the largest logit
  std::uint16_t label = 0;      // true class
  float confidence = 0;         // softmax probability of `predicted`

  bool operator==(const Prediction&) const = default;
};

/// How a run ended. A log without an outcome belongs to a run that is still going or was killed. The values
/// are part of the file format: append, never renumber.
enum class RunStatus : std::uint8_t { done = 1, diverged = 2, interrupted = 3, failed = 4 };

[[nodiscard]] std::string_view name_of(RunStatus status);

/// Where a log stands after a whole record: all that its continuation depends on.
struct LogPosition {
  std::uint64_t bytes = 0;      // of the file
  std::uint64_t rows = 0;       // in it
  std::uint32_t table_due = 0;  // first block to begin with another channel table

  bool operator==(const LogPosition&) const = default;
};

}  // namespace normlab
