#include "host/report/channels.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace normlab {

namespace {

bool belongs_to_epochs(std::string_view name) {
  for (const std::string_view split : {"train.", "val.", "test.", "step."})
    if (name.starts_with(split)) return true;
  return false;
}

bool is_wanted(const Channel& channel) {
  if (channel.kind == ChannelKind::histogram || channel.kind == ChannelKind::vector)
    return channel.shape.size() == 1;
  return channel.kind == ChannelKind::scalar && !belongs_to_epochs(channel.name);
}

/// Which of `count` rows are kept.
std::vector<std::size_t> kept(std::size_t count, ChannelKind kind) {
  if (kind == ChannelKind::histogram)
    return count > 1 ? std::vector{std::size_t{0}, count - 1} : std::vector{std::size_t{0}};
  const std::size_t stride = (count + most_channel_rows - 2) / (most_channel_rows - 1);
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < count; i += std::max<std::size_t>(stride, 1)) indices.push_back(i);
  if (indices.back() != count - 1) indices.push_back(count - 1);
  return indices;
}

}  // namespace

Histogram Histogram::of(const ChannelRow& row) {
  if (row.values.size() < 3) return {};
  Histogram histogram{row.values[0], row.values[1], std::span(row.values).subspan(2)};
  const bool counted =
      std::any_of(histogram.counts.begin(), histogram.counts.end(), [](float c) { return c > 0; });
  const bool sound = std::all_of(histogram.counts.begin(), histogram.counts.end(),
                                 [](float c) { return std::isfinite(c) && c >= 0; });
  const bool has_range =
      std::isfinite(histogram.low) && std::isfinite(histogram.high) && histogram.low < histogram.high;
  return counted && sound && has_range ? histogram : Histogram{};
}

double Histogram::quantile(double q) const {
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  double below = 0;
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    if (below + counts[bin] >= q * all && counts[bin] > 0) {
      const double part = std::clamp((q * all - below) / counts[bin], 0.0, 1.0);
      return low + (static_cast<double>(bin) + part) * bin_width();
    }
    below += counts[bin];
  }
  return high;
}

std::vector<ChannelView> channel_views(const Log& log) {
  std::vector<std::vector<const Row*>> rows(log.channels.size());
  for (const Row& row : log.rows)
    if (is_wanted(log.channels[row.channel]) && row.count > 0) rows[row.channel].push_back(&row);
  std::vector<ChannelView> views;
  for (std::size_t i = 0; i < log.channels.size(); ++i) {
    if (rows[i].empty()) continue;
    const Channel& channel = log.channels[i];
    ChannelView& view = views.emplace_back();
    view.name = channel.name;
    view.labels = channel.labels;
    const std::size_t named = channel.kind == ChannelKind::histogram ? 0 : rows[i].front()->count;
    for (std::size_t k = view.labels.size(); k < named; ++k) view.labels.push_back(std::to_string(k + 1));
    for (const std::size_t k : kept(rows[i].size(), channel.kind)) {
      const Row& row = *rows[i][k];
      const auto values = log.values_of(row);
      ChannelRow& made = view.rows.emplace_back(ChannelRow{row.epoch, row.step, {}});
      for (const double value : values) made.values.push_back(static_cast<float>(value));
    }
  }
  return views;
}

const ChannelView* find_channel(std::span<const ChannelView> channels, std::string_view name) {
  const auto found =
      std::find_if(channels.begin(), channels.end(), [&](const ChannelView& c) { return c.name == name; });
  return found == channels.end() ? nullptr : &*found;
}

}  // namespace normlab
