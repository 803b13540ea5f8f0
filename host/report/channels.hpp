#pragma once
// What a run recorded besides epochs and steps: vectors over layers, histograms, and scalars of experiments,
// thinned so that a study of any length fits into memory.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/record/log_reader.hpp"

namespace normlab {

/// A row of a channel. Epoch 0, step 0 is at initialization.
struct ChannelRow {
  int epoch = 0;
  std::int64_t step = 0;
  std::vector<float> values;
};

struct ChannelView {
  std::string name;                 // layer.grad_norm
  std::vector<std::string> labels;  // of the values, one for each; numbers from 1 if the channel has none;
                                    // none of a histogram
  std::vector<ChannelRow> rows;     // at most most_channel_rows; never empty
};

/// Of a longer channel every k-th row is kept, and the last: runs of the same length keep the same rows. Of
/// histograms, the first row and the last.
inline constexpr std::size_t most_channel_rows = 120;

/// A histogram as the channels `before.<block>` and `after.<block>` hold it: the range, then counts.
struct Histogram {
  double low = 0, high = 0;
  std::span<const float> counts;

  /// None (no counts) if the row is not one: a range that is empty or not finite, no count above 0.
  [[nodiscard]] static Histogram of(const ChannelRow& row);
  static Histogram of(ChannelRow&& row) = delete;  // the counts lie in the row
  [[nodiscard]] bool empty() const { return counts.empty(); }
  [[nodiscard]] double bin_width() const { return (high - low) / static_cast<double>(counts.size()); }
  /// The value below which a share q of the counts lies, to a bin.
  [[nodiscard]] double quantile(double q) const;
};

/// The channels that are neither of epochs nor of steps nor predictions, in the order of the log's table;
/// those without rows are left out.
[[nodiscard]] std::vector<ChannelView> channel_views(const Log& log);

/// nullptr if there is none of this name.
[[nodiscard]] const ChannelView* find_channel(std::span<const ChannelView> channels, std::string_view name);

}  // namespace normlab
