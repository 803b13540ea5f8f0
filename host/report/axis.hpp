#pragma once
// Axes: their range, their marks, and where in a picture they lie.

#include <cmath>
#include <string>
#include <vector>

#include "host/report/picture.hpp"

namespace normlab {

/// Range of an axis.
struct Range {
  double low = INFINITY, high = -INFINITY;
  bool log = false;

  /// Takes the value in; one that cannot be drawn does not count.
  void add(double value);
  [[nodiscard]] bool empty() const { return low > high; }
  /// Where a value lies between the ends, 0 to 1.
  [[nodiscard]] double share(double value) const;
  /// With some room at both ends; a single value lies in the middle. A linear range stays within [floor,
  /// ceiling].
  [[nodiscard]] Range padded(double floor, double ceiling) const;
};

/// A mark of an axis: where, and what it says.
struct Tic {
  double at = 0;
  std::string text;
};

/// 1, 2 or 5 times a power of ten: at most about `most` of them fit into [0, high].
[[nodiscard]] double tic_distance(double high, double most = 8);

/// Marks of a logarithmic axis: powers of ten, and the more in between the shorter the axis is. At most about
/// `most`.
[[nodiscard]] std::vector<Tic> log_tics(const Range& range, std::size_t most = 12);

/// As many of the marks as fit side by side into `pixels`: every k-th.
[[nodiscard]] std::vector<Tic> thinned(const std::vector<Tic>& tics, const Range& range, double pixels);

/// As gnuplot takes them: ('2' 2, '4' 4).
[[nodiscard]] std::string tic_list(const std::vector<Tic>& tics);

/// A part of the picture's area, which begins below its title: shares of width and height, from the top left.
struct Place {
  double left = 0, right = 1, top = 0, bottom = 1;
};

/// Axes in screen coordinates of gnuplot (from the bottom left, 0 to 1), with their margins in pixels.
struct AxesBox {
  double left = 0, right = 1, top = 1, bottom = 0;

  AxesBox(const Picture& picture, const Place& place, double left_px, double right_px, double top_px,
          double bottom_px);
  [[nodiscard]] std::string margins() const;
  [[nodiscard]] double width(const Picture& picture) const { return (right - left) * picture.width; }
  [[nodiscard]] double height(const Picture& picture) const { return (top - bottom) * picture.height; }
};

/// Places of `count` panels in two columns (one panel: the whole area), row by row. The picture becomes as
/// high as they need, `row_height` pixels each.
[[nodiscard]] std::vector<Place> panel_places(Picture& picture, std::size_t count, int row_height = 210);

/// Names in their colours in a line of their own below the subtitle, for panels that share them.
struct LegendEntry {
  std::string text, color;
};
void add_legend(Picture& picture, const std::vector<LegendEntry>& entries);

/// Number of the next block of a picture's data file: each ends in two empty lines.
[[nodiscard]] int next_block(const Picture& picture);

}  // namespace normlab
