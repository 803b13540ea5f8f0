#pragma once
// The ten figures of the synthetic set, as exact integer tests "is this point inside?".

#include <array>
#include <cstdint>

namespace normlab {

/// A figure; the first ten are the classes of the synthetic set (the value is the label), the rest is
/// clutter.
enum class Figure : std::uint8_t {
  disc,
  ring,
  crescent,
  triangle,
  square,
  star,
  cross,
  dots,
  stripes,
  checks,
  bar,
};

inline constexpr int figure_classes = 10;
inline constexpr std::array<const char*, figure_classes> figure_names = {
    "disc", "ring", "crescent", "triangle", "square", "star", "cross", "dots", "stripes", "checks"};

/// The radius of the circle around a figure, in the figure's own units.
inline constexpr int figure_radius = 1024;

/// Points in the units of a figure that is centred at the origin: |u| and |v| at most 4 * figure_radius.
inline constexpr int point_count = 16;
using Coordinates = std::array<int, point_count>;

/// How many of the points (u[i], v[i]) lie in `figure`, which fits in the circle of figure_radius. `variant` chooses
/// among the forms of a figure (proportions; for a texture, the outline it is cut to), in [0, 4).
int points_inside(Figure figure, int variant, const Coordinates& u, const Coordinates& v);

}  // namespace normlab
