// The loss landscape along the gradient: Santurkar's three diagnostics, step by step.

#include <fmt/format.h>

#include "host/report/run_curves.hpp"
#include "host/report/sweep.hpp"

namespace normlab {

namespace {

/// From the lowest to the highest value over step sizes, each the mean over seeds; the line is their middle.
std::vector<CurvePoint> band_over(const ArmView& arm, const std::string& low_name,
                                  const std::string& high_name, bool log) {
  struct Ends {
    std::vector<double> low, high;
  };
  std::map<double, Ends> steps;
  const std::vector<const RunView*> done = arm.finished();
  for (const RunView* run : done.empty() ? arm.runs : done)
    for (const bool high : {false, true})
      if (const ChannelView* channel = find_channel(run->channels, high ? high_name : low_name);
          channel != nullptr)
        for (const ChannelRow& row : channel->rows)
          if (std::isfinite(row.values.front()))
            (high ? steps[static_cast<double>(row.step)].high : steps[static_cast<double>(row.step)].low)
                .push_back(row.values.front());
  std::vector<CurvePoint> points;
  for (const auto& [step, ends] : steps) {
    CurvePoint point = curve_point(step, {});
    if (!ends.low.empty() && !ends.high.empty()) {
      point.low = estimate(ends.low).mean;
      point.high = estimate(ends.high).mean;
      point.over_seeds = estimate(std::vector{log && point.low > 0 ? std::sqrt(point.low * point.high)
                                                                   : (point.low + point.high) / 2});
      point.over_seeds.n = ends.low.size();
    }
    points.push_back(point);
  }
  return points;
}

Chart step_chart(bool log) {
  Chart chart;
  chart.x_label = "step";
  chart.integers = true;
  chart.log_y = log;
  chart.floor = 0;
  return chart;
}

struct BandOf {
  std::string name, title, low, high, alt;
};

void add_bands(const StudyView& study, Pictures& pictures, const BandOf& what) {
  const std::vector<const ArmView*> arms = representative(study).arms;
  Chart together = step_chart(true);
  std::vector<Chart> panels;
  for (const ArmView* arm : arms) {
    Curve curve{arm->name, arm->color, band_over(*arm, what.low, what.high, true)};
    if (!has_values(curve.points)) continue;
    Chart& panel = panels.emplace_back(step_chart(true));
    panel.heading = arm->name;
    panel.curves.push_back(curve);
    together.curves.push_back(std::move(curve));
  }
  if (panels.empty()) return;
  const std::string subtitle = described(study) + " · band: range over step sizes, mean over seeds";
  Picture one{.name = what.name, .title = what.title, .subtitle = subtitle};
  one.alt = what.alt + ", all norms in one chart.";
  add_picture(pictures, Topic::landscape, std::move(one), std::move(together));
  if (panels.size() < 2) return;
  Picture each{.name = what.name + "-each", .title = what.title + ", norm by norm", .subtitle = subtitle};
  each.alt = what.alt + ", a chart for each norm.";
  add_picture(pictures, Topic::landscape, std::move(each), std::move(panels));
}

}  // namespace

void make_landscapes(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  add_bands(study, pictures,
            {"landscape-loss", "Loss along the gradient", "landscape.loss_min", "landscape.loss_max",
             "Range of the loss over steps along the gradient"});
  add_bands(study, pictures,
            {"landscape-gradient", "How far the gradient moves along itself", "landscape.gradient_min",
             "landscape.gradient_max", "Range of the change of the gradient over steps along it"});
  Chart chart = step_chart(true);
  for (const ArmView* arm : representative(study).arms)
    add_curves(chart, *arm, arm->name, Dash::solid, [](const RunView& run, const auto& take) {
      if (const ChannelView* beta = find_channel(run.channels, "landscape.beta"); beta != nullptr)
        for (const ChannelRow& row : beta->rows) take(static_cast<double>(row.step), row.values.front());
    });
  Picture picture{.name = "landscape-beta",
                  .title = "Effective β-smoothness by step (lower: smoother)",
                  .subtitle = described(study) + std::string(how_drawn)};
  picture.alt = "Effective beta-smoothness by step: a line for each norm.";
  add_picture(pictures, Topic::landscape, std::move(picture), std::move(chart));
}

}  // namespace normlab
