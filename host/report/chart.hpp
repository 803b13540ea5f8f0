#pragma once
// Line charts: curves with bands, their names at their ends.

#include <span>
#include <string>
#include <vector>

#include "host/report/axis.hpp"
#include "host/report/curve.hpp"

namespace normlab {

/// A level that theory or another arm gives: a thin line across, with its name.
struct Reference {
  double y = 0;
  std::string label, color;
};

/// Axes with curves.
struct Chart {
  std::string heading;  // above the axes, for pictures of several charts
  std::string x_label;
  bool log_x = false, log_y = false;
  bool integers = false;              // x counts something
  double floor = 0, ceiling = 1e300;  // where y can be: neither the axis nor an interval goes beyond
  bool label_peaks = false;           // names at the highest points, not at the ends
  bool label_ends = true;             // off where a legend names the colours
  Place place = {};                   // in the picture, axis labels included
  Range y = {};                       // the range of y; from the curves if it is empty
  std::vector<Tic> x_tics = {};       // marks of x; chosen if there are none
  std::vector<Reference> references = {};
  std::vector<Curve> curves = {};
};

/// The range that add_chart would choose for y: for charts that share one.
[[nodiscard]] Range y_range(std::span<const Chart> charts);

/// Adds a chart to the picture: its curves as blocks of the data file, its commands to the script, its values
/// for the page's pointer. A block has the columns x, mean, lowest, highest, the ends of the 95 %
/// interval within floor and ceiling (NaN below three seeds), number of seeds. A chart without any finite
/// point is left out: false.
bool add_chart(Picture& picture, const Chart& chart);

/// Charts as panels of one picture, two in a row, with one range of y and with the names of the colours in a
/// legend; those without any finite point are left out. Returns how many were added.
std::size_t add_panels(Picture& picture, std::vector<Chart> charts);

}  // namespace normlab
