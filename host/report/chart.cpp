#include "host/report/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

namespace normlab {

namespace {

constexpr double label_font = 14;  // pixels

/// Range of the y axis.
struct Range {
  double low = INFINITY, high = -INFINITY;
  bool log = false;

  void add(double value) {
    if (!std::isfinite(value) || (log && value <= 0)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  [[nodiscard]] bool empty() const { return low > high; }
  /// Where a value lies between the ends, 0 to 1.
  [[nodiscard]] double share(double value) const {
    const double s = log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return std::isfinite(s) ? std::clamp(s, 0.0, 1.0) : 0.5;
  }
};

/// From the curves that came through, so that a run that blew up does not flatten the others; from all if
/// there is none. A few outliers (the first steps, mostly) may leave the picture.
Range range_of(const Chart& chart) {
  const bool some_done = std::any_of(chart.curves.begin(), chart.curves.end(),
                                     [](const Curve& c) { return !c.broken_off && !c.points.empty(); });
  Range range{.log = chart.log_y};
  std::vector<double> means;
  for (const Curve& curve : chart.curves) {
    if (some_done && curve.broken_off) continue;
    for (const CurvePoint& point : curve.points) {
      range.add(point.low);
      range.add(point.high);
      if (std::isfinite(point.over_seeds.mean)) means.push_back(point.over_seeds.mean);
    }
  }
  if (range.empty() || means.empty()) return range;
  std::sort(means.begin(), means.end());
  const double most = means[means.size() * 95 / 100];
  const double least = means.front();
  if (!chart.log_y && most > least) range.high = std::min(range.high, most + 1.5 * (most - least));
  if (chart.log_y) {
    if (range.high <= range.low * 1.5) range = {range.low / 1.3, range.high * 1.3, true};
    const double margin = std::pow(range.high / range.low, 0.04);
    return {range.low / margin, range.high * margin, true};
  }
  double size = range.high - range.low;
  if (size <= 1e-3 * std::abs(range.high) || size == 0) {  // a flat line lies in the middle
    size = range.high == 0 ? 1 : 4 * std::abs(range.high);
  }
  const double floor = std::max(chart.floor, range.low - 0.05 * size);
  const double ceiling = std::min(chart.ceiling, range.high + 0.05 * size);
  return floor < ceiling ? Range{floor, ceiling, false} : Range{floor, floor + size, false};
}

/// The last point of a curve that can be drawn; nullptr if none can.
const CurvePoint* end_of(const Curve& curve) {
  const auto last = std::find_if(curve.points.rbegin(), curve.points.rend(),
                                 [](const CurvePoint& p) { return std::isfinite(p.over_seeds.mean); });
  return last == curve.points.rend() ? nullptr : &*last;
}

/// 1, 2 or 5 times a power of ten: at most about eight of them fit into [0, high].
double tic_distance(double high) {
  double distance = 1;
  while (high / distance > 8)
    for (const double factor : {2.0, 2.5, 2.0}) {
      distance *= factor;
      if (high / distance <= 8) break;
    }
  return distance;
}

/// Marks of a logarithmic axis: powers of ten, and the more in between the shorter the axis is.
std::string log_tics(const Range& range) {
  const double decades = std::log10(range.high / range.low);
  std::vector<double> factors{1};
  if (decades < 2.5) factors = {1, 2, 5};
  if (decades < 0.7) factors = {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8};
  std::string text;
  for (double power = std::pow(10, std::floor(std::log10(range.low))); power <= range.high; power *= 10)
    for (const double factor : factors)
      if (const double at = factor * power; at >= range.low && at <= range.high)
        text += fmt::format("{}{}", text.empty() ? "" : ", ", number(at));
  return fmt::format("({})", text);
}

std::string data_of(const std::vector<Curve>& curves) {
  std::string text;
  for (const Curve& curve : curves) {
    text += fmt::format("# {}: x mean lowest highest half-of-95%-interval seeds\n",
                        gnuplot_string(curve.label.empty() ? "one run" : curve.label));
    for (const CurvePoint& p : curve.points)
      text += fmt::format("{} {} {} {} {} {}\n", number(p.x), number(p.over_seeds.mean), number(p.low),
                          number(p.high), number(p.over_seeds.half_width), p.over_seeds.n);
    text += "\n\n";
  }
  return text;
}

/// Names at the ends of the lines, moved apart where lines end close together; a thin line then leads from
/// one to the other.
std::string labels_of(const std::vector<Curve>& curves, const Range& range, double height) {
  struct Label {
    const Curve* curve;
    double at;
  };
  std::vector<Label> labels;
  for (const Curve& curve : curves)
    if (const CurvePoint* end = end_of(curve); end != nullptr && !curve.label.empty())
      labels.push_back({&curve, range.share(end->over_seeds.mean)});
  std::stable_sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.at < b.at; });
  std::vector<double> positions;
  for (const Label& label : labels) positions.push_back(label.at);
  const std::vector<double> placed = spread(positions, 1.15 * label_font / height, 0, 1);
  std::string text;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    text +=
        fmt::format("set label {} at graph 1.045, graph {:.4f} left textcolor rgb '{}'\n",
                    gnuplot_string(shortened(labels[i].curve->label, 24)), placed[i], labels[i].curve->color);
    text += fmt::format(
        "set arrow from graph 1.005, graph {:.4f} to graph 1.035, graph {:.4f} nohead linewidth 1 linecolor "
        "rgb '{}'\n",
        labels[i].at, placed[i], labels[i].curve->color);
  }
  return text;
}

/// Names above the highest points of the lines, for curves that all end in the same place.
std::string peak_labels(const std::vector<Curve>& curves, const Range& range, double height) {
  std::vector<const CurvePoint*> peaks;
  std::vector<double> wanted;
  for (const Curve& curve : curves) {
    const auto peak = std::max_element(
        curve.points.begin(), curve.points.end(),
        [](const CurvePoint& a, const CurvePoint& b) { return a.over_seeds.mean < b.over_seeds.mean; });
    peaks.push_back(&*peak);
    wanted.push_back(range.share(peak->over_seeds.mean) + 0.7 * label_font / height);
  }
  const std::vector<double> placed = spread(wanted, 1.15 * label_font / height, 0, 1.04);
  std::string text;
  for (std::size_t i = 0; i < peaks.size(); ++i)
    text += fmt::format("set label {} at {}, graph {:.4f} left textcolor rgb '{}'\n",
                        gnuplot_string(shortened(curves[i].label, 48)), number(peaks[i]->x), placed[i],
                        curves[i].color);
  return text;
}

}  // namespace

CurvePoint curve_point(double x, const std::vector<double>& values) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](double value) { return std::isfinite(value); });
  CurvePoint point{x, estimate(finite), NAN, NAN};
  if (!finite.empty()) {
    const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
    point.low = *low;
    point.high = *high;
  }
  return point;
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

bool add_chart(Picture& picture, const Chart& chart) {
  const Range range = range_of(chart);
  if (range.empty()) return false;
  double first = INFINITY, last = -INFINITY;
  std::size_t most_points = 0;
  double widest = 0;
  for (const Curve& curve : chart.curves) {
    if (!chart.label_peaks) widest = std::max(widest, text_width(shortened(curve.label, 24), label_font));
    most_points = std::max(most_points, curve.points.size());
    for (const CurvePoint& point : curve.points) {
      first = std::min(first, point.x);
      last = std::max(last, point.x);
    }
  }
  if (first == last) {
    first -= 0.5;
    last += 0.5;
  }

  const double width = picture.width, height = picture.height;
  const double begin = chart.left + 62 / width;
  // The label begins 4.5 % of the axis behind its end.
  const double end = std::max(begin + 0.1, begin + (chart.right - begin - (widest + 12) / width) / 1.045);
  const double top = 1 - (chart.heading.empty() ? 66 : 84) / height, bottom = 56 / height;
  std::string& script = picture.script;
  script += fmt::format("set lmargin at screen {:.4f}; set rmargin at screen {:.4f}\n", begin, end);
  script += fmt::format("set bmargin at screen {:.4f}; set tmargin at screen {:.4f}\n", bottom, top);
  script += fmt::format("set xrange [{}:{}]; set yrange [{}:{}]\n", number(first), number(last),
                        number(range.low), number(range.high));
  script += range.log ? fmt::format("set logscale y; set ytics {}; set format y '%g'\n", log_tics(range))
                      : "unset logscale y; set ytics autofreq; set format y '%h'\n";
  script += chart.integers ? fmt::format("set xtics {}\n", tic_distance(last)) : "set xtics autofreq\n";
  script += fmt::format("set xlabel {} offset 0, 0.3 textcolor rgb '{}'\n", gnuplot_string(chart.x_label),
                        ink_color);
  if (!chart.heading.empty())
    script += fmt::format("set label 3 {} at graph 0, graph 1.06 left textcolor rgb '{}'\n",
                          gnuplot_string(chart.heading), ink_color);
  script += (chart.label_peaks ? peak_labels : labels_of)(chart.curves, range, (top - bottom) * height);

  // Blocks are counted over the whole picture: each ends in two empty lines.
  int block = 0;
  for (std::size_t at = 0; (at = picture.data.find("\n\n\n", at)) != std::string::npos; at += 3) ++block;
  const std::string file = gnuplot_string(picture.name + ".dat");
  std::vector<std::string> bands, lines;
  for (const Curve& curve : chart.curves) {
    const std::string from = fmt::format("{} index {} using ", file, block++);
    const bool has_band = std::any_of(curve.points.begin(), curve.points.end(),
                                      [](const CurvePoint& p) { return p.over_seeds.n > 1; });
    if (has_band)
      bands.push_back(fmt::format(
          "{}1:3:4 with filledcurves fillstyle transparent solid 0.18 noborder linecolor rgb '{}'", from,
          curve.color));
    const bool dots = most_points <= 20 && !curve.broken_off;
    lines.push_back(fmt::format("{}1:2 with {} linewidth {} dashtype {} linecolor rgb '{}'{}", from,
                                dots ? "linespoints" : "lines", curve.broken_off ? 1 : 2,
                                curve.broken_off ? "3"
                                : curve.dashed   ? "2"
                                                 : "1",
                                curve.color, dots ? " pointtype 7 pointsize 0.5" : ""));
    if (const CurvePoint* stop = end_of(curve); curve.broken_off && stop != nullptr)
      script += fmt::format(
          "set label '' at {}, {} point pointtype 2 pointsize 0.9 linewidth 2 linecolor rgb '{}'\n",
          number(stop->x), number(std::clamp(stop->over_seeds.mean, range.low, range.high)), curve.color);
  }
  bands.insert(bands.end(), lines.begin(), lines.end());
  script += fmt::format("plot {}\nunset label\nunset arrow\n", fmt::join(bands, ", \\\n  "));
  picture.data += data_of(chart.curves);
  return true;
}

}  // namespace normlab
