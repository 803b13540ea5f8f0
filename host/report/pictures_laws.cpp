// Networks at initialization: how the gradient grows and how alike samples become, layer by layer.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/record/text_layout.hpp"
#include "host/report/laws.hpp"
#include "host/report/layer_channels.hpp"
#include "host/report/palette.hpp"
#include "host/report/sweep.hpp"

namespace normlab {

namespace {

const LayerMetric profiles[]{
    {"layer.output_grad_norm", "law-gradient", "Loss gradient at each convolution's output"},
    {"layer.cosine", "law-cosine", "Mean cosine between two samples", false, -1, 1},
    {"layer.stable_rank", "law-stable-rank", "Stable rank of the samples' Gram matrix"},
};

void add_growth(const StudyView& study, Pictures& pictures) {
  const Law& growth = laws().front();
  std::vector<Chart> charts;
  for (const SettingView& setting : settings_of(study)) {
    Chart& chart = charts.emplace_back();
    chart.heading = setting.name;
    chart.label_ends = false;
    chart.references.push_back({theory_growth_bn, "", std::string(muted_color)});
    for (const ArmView* arm : setting.arms) {
      const double x = static_cast<double>(chart.x_tics.size());
      std::vector<double> values;
      for (const RunView* run : arm->finished())
        if (const ChannelView* channel = find_channel(run->channels, growth.channel); channel != nullptr)
          values.push_back(channel->rows.back().values.front());
      chart.x_tics.push_back({x, arm->name});
      Curve curve{arm->name, arm->color, {curve_point(x, values)}};
      curve.intervals = true;
      chart.curves.push_back(std::move(curve));
    }
  }
  Picture picture{
      .name = "law-growth",
      .title = "Growth of the gradient norm per layer, going back",
      .subtitle = study.description() + how_intervals_are_drawn(charts) + " · dotted: theory for bn"};
  picture.alt =
      "Growth of the gradient norm per layer for each norm, beside the value of theory for batch norm.";
  add_picture(pictures, Topic::laws, std::move(picture), std::move(charts));
}

}  // namespace

const std::vector<Law>& laws() {
  static const std::vector<Law> all{{"law.growth", "gradient growth per layer", 4},
                                    {"law.cosine", "cosine between samples", 3},
                                    {"law.stable_rank", "stable rank", 3}};
  return all;
}

Estimate law_of(const ArmView& arm, const Law& law) {
  std::vector<double> values;
  for (const RunView* run : arm.finished())
    if (const ChannelView* channel = find_channel(run->channels, law.channel); channel != nullptr)
      if (const double value = channel->rows.back().values.front(); std::isfinite(value))
        values.push_back(value);
  return estimate(values);
}

std::string laws_text(const StudyView& study) {
  std::vector<TextColumn> columns{{"norm", true, {}}, {"seeds", false, {}}};
  for (const ArmView& arm : study.arms) {
    columns[0].cells.push_back(arm.label());
    columns[1].cells.push_back(std::to_string(arm.summary.finished));
  }
  for (const Law& law : laws()) {
    std::string head = law.title;
    if (law.channel != "law.growth")
      head = law.channel.substr(law.channel.find('.') + 1);  // for want of room
    std::replace(head.begin(), head.end(), '_', ' ');
    TextColumn& column = columns.emplace_back(TextColumn{std::move(head), false, {}});
    for (const ArmView& arm : study.arms) {
      const Estimate value = law_of(arm, law);
      const double error = value.deviation / std::sqrt(static_cast<double>(value.n));
      column.cells.push_back(
          value.n == 0  ? "-"
          : value.n < 2 ? fmt::format("{:.{}f}", value.mean, law.digits)
                        : fmt::format("{:.{}f} ± {:.{}f}", value.mean, law.digits, error, law.digits));
    }
  }
  return text_table(std::move(columns)).text + "\nAt initialization: mean over seeds ± standard error.\n";
}

bool has_laws(const StudyView& study) {
  for (const ArmView& arm : study.arms)
    for (const Law& law : laws())
      if (law_of(arm, law).n > 0) return true;
  return false;
}

void make_laws(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  if (!has_laws(study)) return;
  add_growth(study, pictures);
  for (const LayerMetric& metric : profiles) {
    std::vector<Chart> charts;
    for (const SettingView& setting : settings_of(study)) {
      Chart chart = chart_by_layer(setting.arms, metric, true);
      chart.heading = setting.name;
      if (!chart.curves.empty()) charts.push_back(std::move(chart));
    }
    Picture picture{
        .name = metric.slug, .title = metric.title + ", by layer", .subtitle = study.description()};
    picture.subtitle += how_drawn;
    picture.alt = picture.title + ": a line for each norm.";
    add_picture(pictures, Topic::laws, std::move(picture), std::move(charts));
  }
}

}  // namespace normlab
