#include "host/report/heat_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>


namespace normlab {

namespace {

constexpr int key_height = 74;  // pixels below the maps
// Viridis: even in lightness, and readable for colour-blind people.
constexpr std::string_view palette =
    "set palette defined (0 '#440154', 1 '#482878', 2 '#3e4a89', 3 '#31688e', 4 '#26828e', 5 '#1f9e89', "
    "6 '#35b779', 7 '#6ece58', 8 '#b5de2b', 9 '#fde725')\n";

bool is_shown(double value) {
  return std::isfinite(value) && value > 0;
}

Range range_of(const HeatMap& map) {
  Range range{.log = true};
  for (const auto& row : map.cells)
    for (const double cell : row) range.add(cell);
  return range;
}

std::vector<Tic> numbered(const std::vector<std::string>& names) {
  std::vector<Tic> tics;
  for (std::size_t i = 0; i < names.size(); ++i) tics.push_back({static_cast<double>(i), names[i]});
  return tics;
}

/// Every k-th name, as many as there is height for.
std::vector<Tic> row_tics(const std::vector<std::string>& names, double pixels) {
  std::vector<Tic> tics = numbered(names), chosen;
  const auto room = static_cast<std::size_t>(std::max(1.0, pixels / 13));
  const std::size_t each = (tics.size() + room - 1) / room;
  for (std::size_t i = 0; i < tics.size(); i += each) chosen.push_back(tics[i]);
  return chosen;
}

void add_map(Picture& picture, const HeatMap& map, const Place& place, const std::string& x_label,
             double names_width) {
  const AxesBox frame(picture, place, names_width, 14, 30, 48);
  const std::size_t rows = map.rows.size(), columns = map.columns.size();
  const Range x{-0.5, static_cast<double>(columns) - 0.5, false};
  std::string& script = picture.script;
  script += frame.margins();
  script += fmt::format("set xrange [-0.5:{}.5]; set yrange [{}.5:-0.5]\n", columns - 1, rows - 1);
  script += fmt::format("set xtics {}\n", tic_list(thinned(numbered(map.columns), x, frame.width(picture))));
  script += fmt::format("set ytics {} font tiny_font\n", tic_list(row_tics(map.rows, frame.height(picture))));
  script +=
      fmt::format("set xlabel {} offset 0, 0.5 textcolor rgb '{}'\n", gnuplot_string(x_label), ink_color);
  script += fmt::format("set label 3 {} at graph 0, graph {:.4f} left textcolor rgb '{}'\n",
                        gnuplot_string(map.heading), 1 + 12 / frame.height(picture), ink_color);
  script += fmt::format("plot {} index {} using 1:2:3 with image\nunset label; unset colorbox\n",
                        gnuplot_string(picture.name + ".dat"), next_block(picture));
  picture.data += fmt::format("# {}: column row value\n", gnuplot_string(map.heading));
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < columns; ++column) {
      const double value = map.cells[row][column];
      picture.data += fmt::format("{} {} {}\n", column, row, number(is_shown(value) ? value : NAN));
    }
  picture.data += "\n\n";
}

}  // namespace

std::size_t add_heat_maps(Picture& picture, std::vector<HeatMap> maps, const std::string& x_label,
                          const std::string& value_name) {
  std::erase_if(maps, [](const HeatMap& map) { return range_of(map).empty(); });
  if (maps.empty()) return 0;
  Range colors{.log = true};
  std::size_t most_rows = 0;
  double names_width = 0;
  for (const HeatMap& map : maps) {
    colors.add(range_of(map).low);
    colors.add(range_of(map).high);
    most_rows = std::max(most_rows, map.rows.size());
    for (const std::string& name : map.rows) names_width = std::max(names_width, text_width(name, 11));
  }
  if (colors.high < 1.5 * colors.low) colors = colors.padded(0, 0);
  const int row_height = std::clamp(static_cast<int>(most_rows) * 14 + 78, 170, 330);
  std::vector<Place> places = panel_places(picture, maps.size(), row_height);
  if (maps.size() == 1) picture.height = picture.header + row_height;
  // The key takes its height from below the maps.
  const double area = picture.height - picture.header;
  picture.height += key_height;
  for (Place& place : places) {
    place.top *= area / (area + key_height);
    place.bottom *= area / (area + key_height);
  }
  std::string& script = picture.script;
  script += palette;
  script += "unset grid; set border 0; set tics scale 0; unset logscale x; unset logscale y\n";
  script +=
      fmt::format("set logscale cb; set cbrange [{}:{}]; set cbtics {} font small_font\n", number(colors.low),
                  number(colors.high), tic_list(thinned(log_tics(colors, 8), colors, 0.6 * picture.width)));
  script += fmt::format(
      "set colorbox horizontal user origin screen 0.2, screen {:.4f} size screen 0.6, screen {:.4f}\n",
      38.0 / picture.height, 10.0 / picture.height);
  script +=
      fmt::format("set label 99 {} at screen 0.5, screen {:.4f} center font small_font textcolor rgb '{}'\n",
                  gnuplot_string(value_name), 58.0 / picture.height, muted_color);
  for (std::size_t i = 0; i < maps.size(); ++i)
    add_map(picture, maps[i], places[i], x_label, names_width + 16);
  script += "unset logscale cb\n";
  return maps.size();
}

}  // namespace normlab
