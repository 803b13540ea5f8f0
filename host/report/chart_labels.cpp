#include "host/report/chart_labels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace normlab {

const CurvePoint* end_of(const Curve& curve) {
  const auto last = std::find_if(curve.points.rbegin(), curve.points.rend(),
                                 [](const CurvePoint& p) { return std::isfinite(p.over_seeds.mean); });
  return last == curve.points.rend() ? nullptr : &*last;
}

std::string end_labels(std::span<const Curve> curves, const Range& y, double height) {
  struct Label {
    const Curve* curve;
    double at;
  };
  std::vector<Label> labels;
  for (const Curve& curve : curves)
    if (const CurvePoint* end = end_of(curve); end != nullptr && !curve.label.empty())
      labels.push_back({&curve, y.share(end->over_seeds.mean)});
  std::stable_sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.at < b.at; });
  std::vector<double> positions;
  for (const Label& label : labels) positions.push_back(label.at);
  const std::vector<double> placed = spread(positions, 1.15 * label_font / height, 0, 1);
  std::string text;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    text += fmt::format("set label {} at graph 1.045, graph {:.4f} left textcolor rgb '{}'\n",
                        gnuplot_string(shortened(labels[i].curve->label, longest_end_label)), placed[i],
                        labels[i].curve->color);
    text += fmt::format(
        "set arrow from graph 1.005, graph {:.4f} to graph 1.035, graph {:.4f} nohead linewidth 1 linecolor "
        "rgb '{}'\n",
        labels[i].at, placed[i], labels[i].curve->color);
  }
  return text;
}

std::string peak_labels(std::span<const Curve> curves, const Range& y, double height) {
  std::vector<const CurvePoint*> peaks;
  std::vector<double> wanted;
  for (const Curve& curve : curves) {
    const auto peak = std::max_element(
        curve.points.begin(), curve.points.end(),
        [](const CurvePoint& a, const CurvePoint& b) { return a.over_seeds.mean < b.over_seeds.mean; });
    peaks.push_back(&*peak);
    wanted.push_back(y.share(peak->over_seeds.mean) + 0.7 * label_font / height);
  }
  const std::vector<double> placed = spread(wanted, 1.15 * label_font / height, 0, 1.04);
  std::string text;
  for (std::size_t i = 0; i < peaks.size(); ++i)
    text += fmt::format("set label {} at {}, graph {:.4f} left textcolor rgb '{}'\n",
                        gnuplot_string(shortened(curves[i].label, 48)), number(peaks[i]->x), placed[i],
                        curves[i].color);
  return text;
}

std::vector<double> spread(const std::vector<double>& positions, double distance, double low, double high) {
  const std::size_t count = positions.size();
  if (count == 0) return {};
  if (count > 1) distance = std::min(distance, (high - low) / static_cast<double>(count - 1));
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return positions[a] < positions[b]; });
  // Neighbours that would overlap form a group, which is centred on the mean of where they would like to be.
  struct Group {
    double sum, size;  // of (wanted - offset within the group), and number
    [[nodiscard]] double begin() const { return sum / size; }
  };
  std::vector<Group> groups;
  for (const std::size_t i : order) {
    groups.push_back({positions[i], 1});
    while (groups.size() > 1) {
      const Group last = groups.back();
      Group& before = groups[groups.size() - 2];
      if (before.begin() + before.size * distance <= last.begin()) break;
      before.sum += last.sum - last.size * before.size * distance;
      before.size += last.size;
      groups.pop_back();
    }
  }
  std::vector<double> placed(count);
  auto next = order.begin();
  for (const Group& group : groups)
    for (int k = 0; k < static_cast<int>(group.size); ++k, ++next)
      placed[*next] = group.begin() + k * distance;
  // The ends of the axis push back.
  double least = low;
  for (const std::size_t i : order) {
    placed[i] = std::max(placed[i], least);
    least = placed[i] + distance;
  }
  double most = high;
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    placed[*i] = std::min(placed[*i], most);
    most = placed[*i] - distance;
  }
  return placed;
}

}  // namespace normlab
