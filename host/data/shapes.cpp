#include "host/data/shapes.hpp"

#include <cmath>
#include <cstdlib>

#include "host/data/fixed_point.hpp"

namespace normlab {
namespace {

constexpr int r = figure_radius;

bool in_disc(int u, int v, int radius) {
  return u * u + v * v <= radius * radius;
}

bool in_square(int u, int v, int half) {
  return std::abs(u) <= half && std::abs(v) <= half;
}

/// How many of the `sides` half planes that bound a regular polygon (of inner radius `inner`, one corner up)
/// hold the point. All of them: inside the polygon. All but one: inside the star on its sides.
int sides_passed(int u, int v, int sides, int inner) {
  int passed = 0;
  for (int side = 0; side < sides; ++side) {
    const int normal = fixed::quarter + fixed::turn * side / sides;  // down, then around
    passed += u * fixed::cosine(normal) + v * fixed::sine(normal) <= inner * fixed::one;
  }
  return passed;
}

/// Textures are cut out of a disc or a square, so that the outline does not tell the class.
bool in_patch(int variant, int u, int v) {
  return variant % 2 == 0 ? in_disc(u, v, r) : in_square(u, v, r * 11 / 16);
}

/// Whether a coordinate falls on an odd band when the axis is cut into bands of `width`.
bool odd_band(int coordinate, int width) {
  return ((coordinate + 64 * width) / width) % 2 != 0;
}

/// The distance of a coordinate from the middle of its cell when the axis is cut into cells of `width`.
int in_cell(int coordinate, int width) {
  return (coordinate + 64 * width) % width - width / 2;
}

}  // namespace

bool inside(Figure figure, int variant, int u, int v) {
  switch (figure) {
    case Figure::disc:
      return in_disc(u, v, r);
    case Figure::ring:
      return in_disc(u, v, r) && !in_disc(u, v, r * (8 + variant) / 16);
    case Figure::crescent:
      return in_disc(u, v, r) && !in_disc(u - r * (7 + variant) / 16, v, r * 13 / 16);
    case Figure::triangle:
      return sides_passed(u, v, 3, r / 2) == 3;
    case Figure::square:
      return in_square(u, v, r * 11 / 16);
    case Figure::star:
      return in_disc(u, v, r) && sides_passed(u, v, 5, r * 5 / 16 + r * variant / 64) >= 4;
    case Figure::cross: {
      const int arm = r * (4 + variant) / 16;
      return in_square(u, v, r * 14 / 16) && (std::abs(u) <= arm || std::abs(v) <= arm);
    }
    case Figure::dots: {
      const int pitch = r * 9 / 16 + r * (variant / 2) / 8;
      return in_patch(variant, u, v) && in_disc(in_cell(u, pitch), in_cell(v, pitch), pitch * 9 / 32);
    }
    case Figure::stripes:
      return in_patch(variant, u, v) && odd_band(u, r * 4 / 16 + r * (variant / 2) / 8);
    case Figure::checks: {
      const int width = r * 11 / 32;  // four to the side of a square patch
      return in_patch(variant, u, v) && odd_band(u, width) != odd_band(v, width);
    }
    case Figure::bar:
      return std::abs(u) <= r * 15 / 16 && std::abs(v) <= r * 5 / 16;
  }
  return false;
}

}  // namespace normlab
