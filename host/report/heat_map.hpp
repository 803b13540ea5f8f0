#pragma once
// Heat maps: layers from top to bottom, measured points from left to right, colour on a logarithmic scale.

#include <string>
#include <vector>

#include "host/report/axis.hpp"

namespace normlab {

struct HeatMap {
  std::string heading;
  std::vector<std::string> rows;           // names, from the top
  std::vector<std::string> columns;        // names, from the left
  std::vector<std::vector<double>> cells;  // by row, then column; what is not positive and finite stays empty
};

/// Adds the maps as panels that share one colour scale, with its key below them. A block of the data file has
/// the columns column, row, value. Maps without any positive value are left out; returns how many were added.
std::size_t add_heat_maps(Picture& picture, std::vector<HeatMap> maps, const std::string& x_label,
                          const std::string& value_name);

}  // namespace normlab
