#pragma once
// Curves from runs: one for those that finished, thin ones for the others.

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/report/chart.hpp"
#include "host/report/pictures.hpp"

namespace normlab {

inline constexpr std::string_view how_drawn = " · line: mean, band: lowest to highest seed";

/// The values of several runs at each x, as a curve. `values_of(run, take)` calls take(x, value) for each.
template <typename ValuesOf>
std::vector<CurvePoint> curve_over(const std::vector<const RunView*>& runs, const ValuesOf& values_of) {
  std::map<double, std::vector<double>> by_x;
  for (const RunView* run : runs) values_of(*run, [&](double x, double value) { by_x[x].push_back(value); });
  std::vector<CurvePoint> points;
  for (const auto& [x, values] : by_x) points.push_back(curve_point(x, values));
  return points;
}

inline bool has_values(const std::vector<CurvePoint>& points) {
  return std::any_of(points.begin(), points.end(),
                     [](const CurvePoint& p) { return std::isfinite(p.over_seeds.mean); });
}

/// One curve for the runs that finished, as in the table, and a thin one for each of the others.
template <typename ValuesOf>
void add_curves(Chart& chart, const ArmView& arm, const std::string& label, Dash dash,
                const ValuesOf& values_of) {
  std::vector<CurvePoint> done = curve_over(arm.finished(), values_of);
  bool labelled = has_values(done);
  if (labelled) chart.curves.push_back({label, arm.color, std::move(done), dash});
  for (const RunView* run : arm.finished(false)) {
    std::vector<CurvePoint> points = curve_over({run}, values_of);
    if (!has_values(points)) continue;
    const std::string its_label = labelled ? "" : label + " (" + run->results.status + ")";
    chart.curves.push_back({its_label, arm.color, std::move(points), dash, true});
    labelled = true;
  }
}

/// What the dots and bars of curves with intervals are, for the picture's subtitle: of one seed nothing.
inline std::string how_intervals_are_drawn(const std::vector<Chart>& charts) {
  bool any_interval = false, any_pair = false;
  for (const Chart& chart : charts)
    for (const Curve& curve : chart.curves)
      for (const CurvePoint& point : curve.points) {
        any_interval |= point.over_seeds.has_interval();
        any_pair |= point.over_seeds.n == 2;
      }
  if (!any_interval) return any_pair ? " · mean, bar: from one seed to the other" : "";
  return any_pair ? " · mean, 95 % t-interval (of two seeds: from one to the other)"
                  : " · mean, 95 % t-interval";
}

/// Tells readers of a picture with crosses what they are.
inline void explain_crosses(Chart& chart) {
  if (std::any_of(chart.curves.begin(), chart.curves.end(),
                  [](const Curve& curve) { return curve.broken_off; }))
    chart.x_label += " (×: a run ended early)";
}

/// Draws the chart alone in the picture, if it has anything.
inline void add_picture(Pictures& pictures, Topic topic, Picture picture, Chart chart) {
  explain_crosses(chart);
  if (add_chart(picture, chart)) pictures.push_back({topic, std::move(picture)});
}

/// Draws the charts as panels, if any has anything.
inline void add_picture(Pictures& pictures, Topic topic, Picture picture, std::vector<Chart> charts) {
  for (Chart& chart : charts) explain_crosses(chart);
  if (add_panels(picture, std::move(charts)) > 0) pictures.push_back({topic, std::move(picture)});
}

/// At most `most` of the items, evenly chosen, the first and the last among them.
template <typename Item>
std::vector<Item> evenly(const std::vector<Item>& items, std::size_t most) {
  if (items.size() <= most || most < 2) return items;
  std::vector<Item> chosen;
  for (std::size_t i = 0; i < most; ++i) chosen.push_back(items[i * (items.size() - 1) / (most - 1)]);
  return chosen;
}

}  // namespace normlab
