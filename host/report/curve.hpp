#pragma once
// What a line chart draws.

#include <string>
#include <vector>

#include "host/record/statistics.hpp"

namespace normlab {

/// A point of a curve: a statistic over seeds.
struct CurvePoint {
  double x = 0;
  Estimate over_seeds;
  double low = 0, high = 0;  // smallest and largest seed
};

/// A point from the values of the seeds; those that are not finite do not count.
[[nodiscard]] CurvePoint curve_point(double x, const std::vector<double>& values);

enum class Dash { solid, dashed, dotted };

struct Curve {
  std::string label;  // at the end of the line; empty: none
  std::string color;
  std::vector<CurvePoint> points;
  Dash dash = Dash::solid;
  bool broken_off = false;  // a run that diverged or stopped: thin, with a cross where it ends
  bool intervals = false;   // bars of the 95 % t-interval (of two seeds: from one to the other) instead of
                            // a band from lowest to highest
  std::vector<double> failed = {};  // x where runs diverged: a cross at the foot of the axes
};

}  // namespace normlab
