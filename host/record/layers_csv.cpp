#include "host/record/layers_csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "host/record/csv_text.hpp"
#include "host/record/diagnostic_channels.hpp"

namespace normlab {

namespace {

constexpr std::array<std::string_view, 4> kNetworkPrefixes{kLandscapePrefix, "law.", "train_mode.",
                                                           "reestimated."};

bool is_vector(const Channel& channel) {
  return channel.kind == ChannelKind::vector && channel.shape.size() == 1 &&
         channel.name.starts_with(kLayerPrefix);
}

bool is_histogram(const Channel& channel) {
  return channel.kind == ChannelKind::histogram && channel.shape.size() == 1 && channel.shape[0] > 2 &&
         (channel.name.starts_with(kBeforePrefix) || channel.name.starts_with(kAfterPrefix));
}

bool is_network_figure(const Channel& channel) {
  return channel.kind == ChannelKind::scalar &&
         std::any_of(kNetworkPrefixes.begin(), kNetworkPrefixes.end(),
                     [&](std::string_view prefix) { return channel.name.starts_with(prefix); });
}

/// "before.c1" as (before, c1).
std::pair<std::string_view, std::string_view> cut_at_dot(std::string_view name) {
  const std::size_t dot = name.find('.');
  return {name.substr(0, dot), name.substr(dot + 1)};
}

}  // namespace

bool has_layer_channels(const Log& log) {
  return std::any_of(log.channels.begin(), log.channels.end(),
                     [](const Channel& channel) { return is_vector(channel) || is_network_figure(channel); });
}

bool has_histograms(const Log& log) {
  return std::any_of(log.channels.begin(), log.channels.end(), is_histogram);
}

void append_layer_lines(std::string& text, std::string_view run, const Log& log, const Row& row) {
  const Channel& channel = log.channels[row.channel];
  const auto line = [&](std::string_view layer, std::string_view metric, double value) {
    fmt::format_to(std::back_inserter(text), "{},{},{},{},{},{},{}\n", run, row.epoch, row.step,
                   csv_field(layer), csv_field(block_of(layer)), metric, csv_number(value));
  };
  const auto values = log.values_of(row);
  if (is_vector(channel)) {
    const std::string metric = csv_field(cut_at_dot(channel.name).second);
    for (std::size_t i = 0; i < values.size(); ++i)
      line(i < channel.labels.size() ? channel.labels[i] : std::to_string(i), metric, values[i]);
  } else if (is_network_figure(channel) && values.size() == 1) {
    line("", csv_field(channel.name), values[0]);
  }
}

void append_histogram_lines(std::string& text, std::string_view run, const Log& log, const Row& row) {
  const Channel& channel = log.channels[row.channel];
  const auto values = log.values_of(row);
  if (!is_histogram(channel) || values.size() <= 2) return;
  const auto [place, block] = cut_at_dot(channel.name);
  const std::string begin = fmt::format("{},{},{},{},{}", run, row.epoch, row.step, csv_field(block), place);
  const double low = values[0], high = values[1];
  const auto counts = values.subspan(2);
  const auto bins = static_cast<double>(counts.size());
  std::string edge = csv_number(low);
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    const bool is_last = bin + 1 == counts.size();
    const std::string next =
        csv_number(is_last ? high : low + (high - low) * static_cast<double>(bin + 1) / bins);
    fmt::format_to(std::back_inserter(text), "{},{},{},{},{}\n", begin, bin, edge, next,
                   csv_number(counts[bin]));
    edge = next;
  }
}

}  // namespace normlab
