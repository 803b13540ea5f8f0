#pragma once
// Line charts: curves with bands, their names at their ends.

#include <string>
#include <vector>

#include "host/record/statistics.hpp"
#include "host/report/picture.hpp"

namespace normlab {

/// A point of a curve: a statistic over seeds.
struct CurvePoint {
  double x = 0;
  Estimate over_seeds;
  double low = 0, high = 0;  // smallest and largest seed
};

/// A point from the values of the seeds; those that are not finite do not count.
[[nodiscard]] CurvePoint curve_point(double x, const std::vector<double>& values);

struct Curve {
  std::string label;  // at the end of the line; empty: none
  std::string color;
  std::vector<CurvePoint> points;
  bool dashed = false;
  bool broken_off = false;  // a run that diverged or stopped: thin, with a cross where it ends
};

/// Axes with curves.
struct Chart {
  std::string heading;  // above the axes, for pictures of several charts
  std::string x_label;
  bool log_y = false;
  bool integers = false;              // x counts something
  double floor = 0, ceiling = 1e300;  // what y can be at most
  bool label_peaks = false;           // names at the highest points, not at the ends
  double left = 0, right = 1;         // share of the picture's width, axis labels included
  std::vector<Curve> curves;
};

/// Adds a chart to the picture: its curves as blocks of the data file, its commands to the script. A block
/// has the columns x, mean, lowest, highest, half of the 95 % interval, number of seeds. A chart without any
/// finite point is left out: false.
bool add_chart(Picture& picture, const Chart& chart);

/// Moves positions apart until neighbours are at least `distance` from each other, within [low, high] if
/// there is room, as little as possible, keeping their order.
[[nodiscard]] std::vector<double> spread(const std::vector<double>& positions, double distance, double low,
                                         double high);

}  // namespace normlab
