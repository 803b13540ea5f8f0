#pragma once
// Ridge plots: distributions above each other, one row for each layer.

#include <string>
#include <vector>

#include "host/report/axis.hpp"
#include "host/report/channels.hpp"

namespace normlab {

/// One row: a distribution, and optionally an earlier one behind it (without counts if there is none).
struct Ridge {
  std::string name;
  Histogram early, late;
};

struct RidgePlot {
  std::string heading;  // above the axes
  std::string x_label;
  std::string color;
  Place place;
  std::vector<Ridge> ridges;  // from the top
};

/// Adds a ridge plot: the late distributions filled, the early ones as dashed lines, each as high as its
/// highest bin. The axis holds the middle 99 % of every distribution. A block of the data file has the
/// columns value, density relative to the highest, for late and early of each layer in turn. False if all
/// rows are empty.
bool add_ridges(Picture& picture, const RidgePlot& plot);

}  // namespace normlab
