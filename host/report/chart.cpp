#include "host/report/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "host/report/chart_labels.hpp"

namespace normlab {

namespace {

/// x and y as pixels of the axes' margins.
constexpr double left_margin = 62, bottom_margin = 52, top_margin = 20, heading_height = 18;

bool came_through(const Curve& curve) {
  return !curve.broken_off && end_of(curve) != nullptr;
}

Range x_range(const Chart& chart) {
  Range range{.log = chart.log_x};
  for (const Curve& curve : chart.curves) {
    for (const CurvePoint& point : curve.points) range.add(point.x);
    for (const double x : curve.failed) range.add(x);
  }
  const bool named = !chart.x_tics.empty();
  for (const Tic& tic : chart.x_tics) range.add(tic.at);
  if (range.low == range.high && !range.log) return {range.low - 0.5, range.high + 0.5, false};
  if (range.log) return range.padded(0, 0);
  if (named) {  // settings stand beside each other: the first and the last not on the border
    const double room = 0.04 * (range.high - range.low);
    return {range.low - room, range.high + room, false};
  }
  return range;
}

std::vector<Tic> count_tics(const Range& x, double most) {
  const double distance = tic_distance(x.high, most);
  std::vector<Tic> tics;
  for (double at = std::max(0.0, std::ceil(x.low / distance) * distance); at <= x.high; at += distance)
    tics.push_back({at, fmt::format("{:.9g}", at)});
  return tics;
}

std::string x_axis(const Chart& chart, const Range& x, double pixels) {
  std::string script = x.log ? "set logscale x\n" : "unset logscale x\n";
  if (!chart.x_tics.empty())
    script += fmt::format("set xtics {}\n", tic_list(thinned(chart.x_tics, x, pixels)));
  else if (x.log)
    script += fmt::format("set xtics {}\n", tic_list(thinned(log_tics(x), x, pixels)));
  else if (chart.integers)
    script += fmt::format("set xtics {}\n", tic_list(thinned(count_tics(x, 8), x, pixels)));
  else
    script += "set xtics autofreq\n";
  return script + fmt::format("set xlabel {} offset 0, 0.5 textcolor rgb '{}'\n",
                              gnuplot_string(chart.x_label), ink_color);
}

std::string y_axis(const Range& y, double pixels) {
  if (!y.log)
    return fmt::format(
        "unset logscale y; set format y '%h'; set ytics autofreq{}\n",
        pixels < 150 ? fmt::format(" {}", number(tic_distance((y.high - y.low) * 1e6, 4) / 1e6)) : "");
  return fmt::format("set logscale y; set ytics {}; set format y '%g'\n",
                     tic_list(log_tics(y, static_cast<std::size_t>(std::max(2.0, pixels / 22)))));
}

/// The bar of a point: its interval where the chart has values at all; of two seeds, which have none, both.
Range bar_of(const Chart& chart, const CurvePoint& point) {
  if (point.over_seeds.n == 2) return {point.low, point.high};
  if (!point.over_seeds.has_interval()) return {NAN, NAN};
  const Interval interval = point.over_seeds.interval({chart.floor, chart.ceiling});
  return {interval.low, interval.high};
}

std::string data_of(const Chart& chart) {
  std::string text;
  for (const Curve& curve : chart.curves) {
    text += fmt::format("# {}: x mean lowest highest 95%-interval-from to seeds\n",
                        gnuplot_string(curve.label.empty() ? "one run" : curve.label));
    for (const CurvePoint& p : curve.points) {
      const Range bar = p.over_seeds.has_interval() ? bar_of(chart, p) : Range{NAN, NAN};
      text += fmt::format("{} {} {} {} {} {} {}\n", number(p.x), number(p.over_seeds.mean), number(p.low),
                          number(p.high), number(bar.low), number(bar.high), p.over_seeds.n);
    }
    text += "\n\n";
  }
  return text;
}

HoverChart hover_of(const Chart& chart, const AxesBox& frame, const Range& x) {
  HoverChart hover{frame.left,    frame.right, 1 - frame.top, 1 - frame.bottom, x.low, x.high, x.log,
                   chart.x_label, {}};
  for (const Curve& curve : chart.curves) {
    if (curve.label.empty()) continue;
    HoverChart::Line& line = hover.lines.emplace_back(HoverChart::Line{curve.label, curve.color, {}});
    for (const CurvePoint& p : curve.points)
      if (std::isfinite(p.over_seeds.mean))
        line.points.push_back(
            {p.x, p.over_seeds.mean, p.low < p.high ? p.low : NAN, p.low < p.high ? p.high : NAN});
  }
  return hover;
}

/// What the plot command draws of a curve, bands and lines apart: bands lie below all lines.
struct Drawn {
  std::string band, line;
};

Drawn drawn_of(const Curve& curve, const std::string& from, bool dots) {
  Drawn drawn;
  const bool has_band = !curve.intervals && std::any_of(curve.points.begin(), curve.points.end(),
                                                        [](const CurvePoint& p) { return p.low < p.high; });
  if (has_band)
    drawn.band =
        fmt::format("{}1:3:4 with filledcurves fillstyle transparent solid 0.18 noborder linecolor rgb '{}'",
                    from, curve.color);
  if (curve.intervals)
    drawn.band = fmt::format(
        "{}1:($7 == 2 ? $3 : $5):(0):($7 == 2 ? $4 - $3 : $6 - $5) with vectors nohead linewidth 1.5 "
        "linecolor "
        "rgb '{}'",
        from, curve.color);
  dots = (dots || curve.intervals) && !curve.broken_off;
  const int dash = curve.broken_off ? 3 : curve.dash == Dash::dashed ? 2 : curve.dash == Dash::dotted ? 4 : 1;
  drawn.line = fmt::format("{}1:2 with {} linewidth {} dashtype {} linecolor rgb '{}'{}", from,
                           dots ? "linespoints" : "lines", curve.broken_off ? 1 : 2, dash, curve.color,
                           dots ? " pointtype 7 pointsize 0.5" : "");
  return drawn;
}

/// Crosses: where a run ended early, and, in a row for each curve at the foot of the axes, where runs
/// diverged.
std::string crosses_of(const Chart& chart, const Range& y, double height) {
  constexpr std::string_view cross = "point pointtype 2 pointsize 0.8 linewidth 2 linecolor rgb";
  std::string script;
  int row = 0;
  for (const Curve& curve : chart.curves) {
    if (const CurvePoint* stop = end_of(curve); curve.broken_off && stop != nullptr)
      script += fmt::format("set label '' at {}, {} {} '{}'\n", number(stop->x),
                            number(std::clamp(stop->over_seeds.mean, y.low, y.high)), cross, curve.color);
    for (const double x : curve.failed)
      script += fmt::format("set label '' at {}, graph {:.4f} {} '{}'\n", number(x), (8 + 10 * row) / height,
                            cross, curve.color);
    if (!curve.failed.empty()) ++row;
  }
  return script;
}

std::string references_of(const Chart& chart, const Range& y, double height) {
  std::string script;
  for (const Reference& line : chart.references) {
    if (line.y < y.low || line.y > y.high) continue;
    script += fmt::format(
        "set arrow from graph 0, first {0} to graph 1, first {0} nohead linewidth 1 dashtype 3 linecolor rgb "
        "'{1}'\n",
        number(line.y), line.color);
    script +=
        fmt::format("set label {} at graph 0.98, graph {:.4f} right font small_font textcolor rgb '{}'\n",
                    gnuplot_string(line.label), y.share(line.y) + 8 / height, line.color);
  }
  return script;
}

}  // namespace

/// From the curves that came through, so that a run that blew up does not flatten the others; from all if
/// there is none. Of long curves a few outliers (the first steps, mostly) may leave the picture.
Range y_range(std::span<const Chart> charts) {
  Range range{.log = charts.front().log_y};
  std::vector<double> means;
  std::size_t longest = 0;
  const auto any_of_curves = [&](auto holds) {
    return std::any_of(charts.begin(), charts.end(),
                       [&](const Chart& c) { return std::any_of(c.curves.begin(), c.curves.end(), holds); });
  };
  const bool some_done = any_of_curves(came_through);
  for (const Chart& chart : charts)
    for (const Curve& curve : chart.curves) {
      if (some_done && curve.broken_off) continue;
      longest = std::max(longest, curve.points.size());
      for (const CurvePoint& point : curve.points) {
        range.add(curve.intervals ? point.over_seeds.mean : point.low);
        range.add(curve.intervals ? point.over_seeds.mean : point.high);
        if (std::isfinite(point.over_seeds.mean)) means.push_back(point.over_seeds.mean);
      }
    }
  if (range.empty() || means.empty()) return range;
  std::sort(means.begin(), means.end());
  const double most = means[means.size() * 95 / 100];
  const double least = means.front();
  constexpr std::size_t kLong = 100;
  if (!range.log && longest >= kLong && most > least)
    range.high = std::min(range.high, most + 1.5 * (most - least));
  for (const Chart& chart : charts)
    for (const Reference& line : chart.references) range.add(line.y);
  // Intervals belong to the picture as long as they do not flatten it: those of three seeds may be huge.
  const double room = 0.3 * (range.high - range.low);
  const Range means_only = range;
  for (const Chart& chart : charts)
    for (const Curve& curve : chart.curves)
      for (const CurvePoint& point : curve.points)
        if (const Range bar = bar_of(chart, point); curve.intervals && !range.log && std::isfinite(bar.low)) {
          range.add(std::max(bar.low, means_only.low - room));
          range.add(std::min(bar.high, means_only.high + room));
        }
  if (!range.log && any_of_curves([](const Curve& c) { return !c.failed.empty(); }))
    range.low -= 0.12 * (range.high - range.low);  // room for the crosses
  return range.padded(charts.front().floor, charts.front().ceiling);
}

bool add_chart(Picture& picture, const Chart& chart) {
  const Range y = chart.y.empty() ? y_range({&chart, 1}) : chart.y;
  const Range x = x_range(chart);
  if (y.empty() || x.empty() || std::none_of(chart.curves.begin(), chart.curves.end(), [](const Curve& c) {
        return end_of(c) != nullptr;
      }))
    return false;
  double widest = 0;
  std::size_t most_points = 0;
  for (const Curve& curve : chart.curves) {
    if (chart.label_ends && !chart.label_peaks)
      widest = std::max(widest, text_width(shortened(curve.label, longest_end_label), label_font));
    most_points = std::max(most_points, curve.points.size());
  }
  // The label begins 4.5 % of the axis behind its end.
  const double inside = (chart.place.right - chart.place.left) * picture.width - left_margin - widest - 12;
  const double right_margin = widest + 12 + (widest > 0 ? inside * 0.043 : 0);
  const AxesBox frame(picture, chart.place, left_margin, right_margin,
                      top_margin + (chart.heading.empty() ? 0 : heading_height), bottom_margin);
  const double width = frame.width(picture), height = frame.height(picture);

  std::string& script = picture.script;
  script += frame.margins();
  script += fmt::format("set xrange [{}:{}]; set yrange [{}:{}]\n", number(x.low), number(x.high),
                        number(y.low), number(y.high));
  script += y_axis(y, height) + x_axis(chart, x, width);
  if (!chart.heading.empty())
    script += fmt::format("set label 3 {} at graph 0, graph {:.4f} left textcolor rgb '{}'\n",
                          gnuplot_string(chart.heading), 1 + 12 / height, ink_color);
  if (chart.label_peaks)
    script += peak_labels(chart.curves, y, height);
  else if (chart.label_ends)
    script += end_labels(chart.curves, y, height);
  script += references_of(chart, y, height) + crosses_of(chart, y, height);

  int block = next_block(picture);
  const std::string file = gnuplot_string(picture.name + ".dat");
  std::vector<std::string> plots, lines;
  for (const Curve& curve : chart.curves) {
    Drawn drawn = drawn_of(curve, fmt::format("{} index {} using ", file, block++), most_points <= 20);
    if (!drawn.band.empty()) plots.push_back(std::move(drawn.band));
    lines.push_back(std::move(drawn.line));
  }
  plots.insert(plots.end(), lines.begin(), lines.end());
  script += fmt::format("plot {}\nunset label\nunset arrow\n", fmt::join(plots, ", \\\n  "));
  picture.data += data_of(chart);
  picture.hover.push_back(hover_of(chart, frame, x));
  return true;
}

std::size_t add_panels(Picture& picture, std::vector<Chart> charts) {
  std::erase_if(charts, [](const Chart& chart) {
    return std::none_of(chart.curves.begin(), chart.curves.end(),
                        [](const Curve& c) { return end_of(c) != nullptr; });
  });
  if (charts.empty()) return 0;
  if (charts.size() == 1) {
    return add_chart(picture, charts.front()) ? 1 : 0;
  }
  std::vector<LegendEntry> names;
  for (const Chart& chart : charts)
    for (const Curve& curve : chart.curves) {
      // What became of a run stands in its own chart.
      const std::string name =
          curve.label.substr(0, curve.broken_off ? curve.label.rfind(" (") : std::string::npos);
      if (!name.empty() && std::none_of(names.begin(), names.end(), [&](const LegendEntry& known) {
            return known.text == name && known.color == curve.color;
          }))
        names.push_back({name, curve.color});
    }
  add_legend(picture, names);
  const std::vector<Place> places = panel_places(picture, charts.size());
  const Range y = y_range(charts);
  for (std::size_t i = 0; i < charts.size(); ++i) {
    charts[i].place = places[i];
    charts[i].y = y;
    charts[i].label_ends = false;
    add_chart(picture, charts[i]);
  }
  return charts.size();
}

}  // namespace normlab
