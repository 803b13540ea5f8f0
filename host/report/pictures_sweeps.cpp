// What a study varies, along x: final accuracy and memory; and for batch norm how it is evaluated.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "host/report/run_curves.hpp"
#include "host/report/sweep.hpp"

namespace normlab {

namespace {

constexpr std::size_t most_panels = 8;

Chart sweep_chart(const Sweep& sweep, const SweepPanel& panel) {
  Chart chart;
  chart.heading = panel.setting;
  chart.x_label = sweep.axis;
  chart.log_x = sweep.is_log;
  chart.x_tics = sweep.tics;
  return chart;
}

/// A value of every run of the arms along a line; where runs diverged there is a cross.
template <typename ValueOf>
Curve sweep_curve(const SweepLine& line, const std::string& label, const ValueOf& value_of) {
  Curve curve{label, line.color, {}};
  curve.intervals = true;
  for (const SweepPoint& point : line.points) {
    std::vector<double> values;
    for (const RunView* run : point.arm->finished()) values.push_back(value_of(*run));
    curve.points.push_back(curve_point(point.x, values));
    if (point.arm->summary.diverged > 0) curve.failed.push_back(point.x);
  }
  return curve;
}

double final_accuracy_of(const RunView& run, std::string_view split) {
  const EpochResult* last = run.results.last(split);
  return last != nullptr && last->accuracy ? 100 * *last->accuracy : NAN;
}

bool any_failed(const std::vector<Chart>& charts) {
  for (const Chart& chart : charts)
    for (const Curve& curve : chart.curves)
      if (!curve.failed.empty()) return true;
  return false;
}

void add_accuracy(const StudyView& study, const Sweep& sweep, Pictures& pictures, const std::string& split,
                  const std::string& title) {
  std::vector<Chart> charts;
  for (const SweepPanel& panel : evenly(sweep.panels, most_panels)) {
    Chart& chart = charts.emplace_back(sweep_chart(sweep, panel));
    chart.floor = 0;
    chart.ceiling = 100;
    for (const SweepLine& line : panel.lines)
      chart.curves.push_back(
          sweep_curve(line, line.norm, [&](const RunView& run) { return final_accuracy_of(run, split); }));
    for (const ArmView* other : panel.others)
      if (const double mean = other->summary.final_accuracy.mean; split == sweep.split && std::isfinite(mean))
        chart.references.push_back({100 * mean, other->name, other->color});
  }
  Picture picture{.name = fmt::format("{}-accuracy-by-{}", split, sweep.key),
                  .title = fmt::format("{} against {}, %", title, sweep.axis),
                  .subtitle = fmt::format("{}{}{}", study.description(), how_intervals_are_drawn(charts),
                                          any_failed(charts) ? " · ×: diverged" : "")};
  std::replace(picture.name.begin(), picture.name.end(), '_', '-');
  picture.alt = picture.title + ": a line for each norm.";
  picture.height = 420;
  add_picture(pictures, Topic::sweep, std::move(picture), std::move(charts));
}

void add_memory(const StudyView& study, const Sweep& sweep, Pictures& pictures) {
  std::vector<Chart> charts;
  std::set<double> seen;
  for (const SweepPanel& panel : evenly(sweep.panels, most_panels)) {
    Chart& chart = charts.emplace_back(sweep_chart(sweep, panel));
    chart.log_y = true;
    for (const SweepLine& line : panel.lines) {
      chart.curves.push_back(sweep_curve(line, line.norm, [&](const RunView& run) {
        return run.results.config.number("memory_bytes").value_or(NAN) / (1 << 20);
      }));
      chart.curves.back().failed.clear();
      for (const CurvePoint& point : chart.curves.back().points)
        if (std::isfinite(point.over_seeds.mean)) seen.insert(point.over_seeds.mean);
    }
  }
  if (seen.size() < 2) return;
  Picture picture{.name = "memory",
                  .title = fmt::format("Memory that training books against {}, MiB", sweep.axis),
                  .subtitle = study.description()};
  picture.alt = picture.title + ": a line for each norm.";
  add_picture(pictures, Topic::sweep, std::move(picture), std::move(charts));
}

/// The last value of a scalar channel; NaN if the run has none.
double last_scalar(const RunView& run, std::string_view name) {
  const ChannelView* channel = find_channel(run.channels, name);
  return channel == nullptr || channel->rows.back().values.empty() ? NAN : channel->rows.back().values[0];
}

/// How the test images are put through a trained network: an evaluation of its own.
struct Mode {
  std::string label, channel;  // without .loss and .accuracy
  Dash dash;
};

const std::vector<Mode> modes{{"running statistics", "test", Dash::solid},
                              {"of the batch itself", "train_mode", Dash::dashed},
                              {"re-estimated", "reestimated", Dash::dotted}};

double mode_value(const RunView& run, const Mode& mode, bool accuracy) {
  const double scale = accuracy ? 100 : 1;
  if (mode.channel != "test")
    return scale * last_scalar(run, mode.channel + (accuracy ? ".accuracy" : ".loss"));
  const EpochResult* last = run.results.last("test");
  if (last == nullptr) return NAN;
  const std::optional<double>& value = accuracy ? last->accuracy : last->loss;
  return value ? scale * *value : NAN;
}

/// Whether it matters which statistics normalize: not to the norms that know no other samples.
bool depends_on_statistics(const SweepLine& line) {
  for (const SweepPoint& point : line.points)
    for (const RunView* run : point.arm->finished())
      for (const Mode& mode : modes)
        if (std::abs(mode_value(*run, mode, false) - mode_value(*run, modes[0], false)) > 1e-4) return true;
  return false;
}

}  // namespace

void make_sweeps(const StudyView& study, Pictures& pictures, std::vector<std::string>& notes) {
  const std::optional<Sweep> sweep = sweep_of(study);
  if (!sweep) return;
  if (sweep->panels.size() > most_panels)
    notes.push_back(
        fmt::format("Accuracy against {} is drawn for {} of {} settings, evenly chosen; the tables have "
                    "all of them.",
                    sweep->axis, most_panels, sweep->panels.size()));
  if (sweep->split != "test") add_accuracy(study, *sweep, pictures, sweep->split, "Final held-out accuracy");
  add_accuracy(study, *sweep, pictures, "test", "Final test accuracy");
  add_accuracy(study, *sweep, pictures, "train", "Final training accuracy");
  add_memory(study, *sweep, pictures);
}

void make_modes(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  const std::optional<Sweep> sweep = sweep_of(study);
  if (!sweep) return;
  for (const SweepPanel& panel : sweep->panels)
    for (const SweepLine& line : panel.lines) {
      if (!depends_on_statistics(line)) continue;
      std::vector<Chart> charts;
      for (const bool accuracy : {true, false}) {
        Chart& chart = charts.emplace_back(sweep_chart(*sweep, panel));
        chart.heading = accuracy ? "test accuracy, %" : "test loss";
        chart.floor = 0;
        if (accuracy) chart.ceiling = 100;
        chart.place = accuracy ? Place{0, 0.5, 0, 1} : Place{0.5, 1, 0, 1};
        chart.label_ends = false;
        for (const Mode& mode : modes) {
          chart.curves.push_back(sweep_curve(
              line, mode.label, [&](const RunView& run) { return mode_value(run, mode, accuracy); }));
          Curve& curve = chart.curves.back();
          curve.dash = mode.dash;
          // Ink and paper change with the page, so they are readable on dark, too.
          if (mode.channel != "test") curve.color = mode.dash == Dash::dashed ? ink_color : muted_color;
          curve.failed.clear();
        }
      }
      Picture picture{
          .name = "statistics-" + line.points.front().arm->slug,
          .title = fmt::format("{}: which statistics normalize the test images", line.norm),
          .subtitle = fmt::format("{}{}{}{}", study.description(), panel.setting.empty() ? "" : " · ",
                                  panel.setting, how_intervals_are_drawn(charts))};
      picture.alt = fmt::format(
          "{}: test accuracy and loss with running statistics, with those of the batch, and "
          "with re-estimated ones, against {}.",
          line.norm, sweep->axis);
      std::vector<LegendEntry> names;
      for (const Curve& curve : charts[0].curves) names.push_back({curve.label, curve.color});
      add_legend(picture, names);
      bool any = false;
      for (const Chart& chart : charts) any |= add_chart(picture, chart);
      if (any) pictures.push_back({Topic::sweep, std::move(picture)});
    }
}

}  // namespace normlab
