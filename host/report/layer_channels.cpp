#include "host/report/layer_channels.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "host/report/palette.hpp"

namespace normlab {

namespace {

constexpr std::size_t most_layer_lines = 10;

const ChannelRow& row_of(const ChannelView& channel, bool last) {
  return last ? channel.rows.back() : channel.rows.front();
}

/// The drawn values of a row, in order; NaN where the row is too short.
std::vector<double> drawn_values(const ChannelView& channel, const ChannelRow& row) {
  std::vector<double> values;
  for (const std::size_t i : drawn_layers(channel))
    values.push_back(i < row.values.size() ? row.values[i] : NAN);
  return values;
}

Chart layer_chart(const LayerMetric& metric) {
  Chart chart;
  chart.log_y = metric.log;
  chart.floor = metric.floor;
  chart.ceiling = metric.ceiling;
  return chart;
}

}  // namespace

std::vector<std::size_t> drawn_layers(const ChannelView& channel) {
  std::vector<std::size_t> chosen, all;
  bool has_norms = false, has_others = false;
  for (std::size_t i = 0; i < channel.labels.size(); ++i) {
    all.push_back(i);
    const bool is_norm = channel.labels[i].ends_with(".norm");
    has_norms |= is_norm;
    has_others |= !is_norm;
    if (!is_norm) chosen.push_back(i);
  }
  const bool of_parameters = channel.name == "layer.grad_norm" || channel.name == "layer.weight_norm" ||
                             channel.name == "layer.update_ratio";
  return of_parameters && has_norms && has_others ? chosen : all;
}

std::string short_name(const std::string& label) {
  return label.substr(0, label.find('.'));
}

double epochs_at(const RunView& run, const ChannelRow& row) {
  const double steps = run.results.config.number("steps").value_or(0);
  const double epochs = run.results.config.number("epochs").value_or(0);
  return steps > 0 && epochs > 0 ? static_cast<double>(row.step) * epochs / steps : row.epoch;
}

std::string moment_of(const RunView& run, const ChannelRow& row) {
  if (row.step == 0) return "at initialization";
  const auto& epochs = run.results.epochs;
  const bool ends_epoch = std::any_of(epochs.begin(), epochs.end(), [&](const EpochResult& epoch) {
    return epoch.epoch == row.epoch && epoch.step == row.step;
  });
  return ends_epoch ? fmt::format("after epoch {}", row.epoch) : fmt::format("after step {}", row.step);
}

std::vector<const RunView*> shown_runs(const ArmView& arm) {
  std::vector<const RunView*> runs = arm.finished();
  return runs.empty() ? arm.runs : runs;
}

const RunView* run_with(const ArmView& arm, const std::string& channel) {
  for (const RunView* run : shown_runs(arm))
    if (find_channel(run->channels, channel) != nullptr) return run;
  return nullptr;
}

Chart chart_by_layer(const std::vector<const ArmView*>& arms, const LayerMetric& metric, bool last) {
  Chart chart = layer_chart(metric);
  chart.x_label = "layer";
  for (const ArmView* arm : arms) {
    const RunView* run = run_with(*arm, metric.channel);
    if (run == nullptr) continue;
    const ChannelView& channel = *find_channel(run->channels, metric.channel);
    if (chart.heading.empty()) chart.heading = moment_of(*run, row_of(channel, last));
    const std::vector<std::size_t> layers = drawn_layers(channel);
    if (layers.size() > chart.x_tics.size()) {
      chart.x_tics.clear();
      for (std::size_t i = 0; i < layers.size(); ++i)
        chart.x_tics.push_back({static_cast<double>(i + 1), short_name(channel.labels[layers[i]])});
    }
    add_curves(chart, *arm, arm->name, Dash::solid, [&](const RunView& one, const auto& take) {
      const ChannelView* its = find_channel(one.channels, metric.channel);
      if (its == nullptr) return;
      const std::vector<double> values = drawn_values(*its, row_of(*its, last));
      for (std::size_t i = 0; i < values.size(); ++i) take(static_cast<double>(i + 1), values[i]);
    });
  }
  return chart;
}

Chart chart_by_epoch(const std::vector<const ArmView*>& arms, const LayerMetric& metric,
                     const LayerTotal& total) {
  Chart chart = layer_chart(metric);
  chart.x_label = "epoch";
  chart.integers = true;
  for (const ArmView* arm : arms)
    add_curves(chart, *arm, arm->name, Dash::solid, [&](const RunView& run, const auto& take) {
      if (const ChannelView* channel = find_channel(run.channels, metric.channel); channel != nullptr)
        for (const ChannelRow& row : channel->rows)
          take(epochs_at(run, row), total(drawn_values(*channel, row)));
    });
  return chart;
}

Chart chart_of_layers(const ArmView& arm, const LayerMetric& metric) {
  Chart chart = layer_chart(metric);
  chart.heading = arm.name;
  chart.x_label = "epoch";
  chart.integers = true;
  const RunView* run = run_with(arm, metric.channel);
  if (run == nullptr) return chart;
  const ChannelView& channel = *find_channel(run->channels, metric.channel);
  const std::vector<std::size_t> layers = evenly(drawn_layers(channel), most_layer_lines);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const double depth =
        layers.size() > 1 ? static_cast<double>(i) / static_cast<double>(layers.size() - 1) : 0;
    Curve curve{short_name(channel.labels[layers[i]]), depth_color(depth), {}};
    curve.points = curve_over(shown_runs(arm), [&](const RunView& one, const auto& take) {
      const ChannelView* its = find_channel(one.channels, metric.channel);
      if (its == nullptr) return;
      for (const ChannelRow& row : its->rows)
        if (layers[i] < row.values.size()) take(epochs_at(one, row), row.values[layers[i]]);
    });
    for (CurvePoint& point : curve.points)
      point.low = point.high = point.over_seeds.mean;  // ten bands are none
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

}  // namespace normlab
