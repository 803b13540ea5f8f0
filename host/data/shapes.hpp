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

/// Whether the point (u, v) lies in `figure`, which is centred at the origin and fits in the circle of
/// figure_radius; |u| and |v| at most 4 * figure_radius. `variant` chooses among the forms of a figure
/// (proportions; for a texture, the outline it is cut to), in [0, 4).
bool inside(Figure figure, int variant, int u, int v);

}  // namespace normlab
