#include "host/data/shapes.hpp"

#include <cmath>
#include <cstdlib>

#include "host/data/fixed_point.hpp"
#include "layers/as_size.hpp"

namespace normlab {
namespace {

constexpr int r = figure_radius;

bool in_disc(int u, int v, int radius) {
  return u * u + v * v <= radius * radius;
}

bool in_square(int u, int v, int half) {
  return (std::abs(u) <= half) & (std::abs(v) <= half);
}

/// How many of the half planes that bound a regular polygon (of inner radius `inner`, one corner up) hold the
/// point. All of them: inside the polygon. All but one: inside the star on its sides.
template <int sides>
int sides_passed(int u, int v, int inner) {
  constexpr auto normals = [] {
    std::array<std::array<int, 2>, sides> all{};
    for (int side = 0; side < sides; ++side) {
      const int angle = fixed::quarter + fixed::turn * side / sides;  // down, then around
      all[as_size(side)] = {fixed::cosine(angle), fixed::sine(angle)};
    }
    return all;
  }();
  int passed = 0;
  for (const auto& [x, y] : normals) passed += u * x + v * y <= inner * fixed::one ? 1 : 0;
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

/// Calls `use` with the test of a figure: whether the point (u, v) lies in it. Tests have no branches, so
/// that a loop over points becomes vector instructions.
template <typename Use>
[[gnu::always_inline]] inline int with_test(Figure figure, int variant, Use use) {
  switch (figure) {
    case Figure::disc:
      return use([](int u, int v) { return in_disc(u, v, r); });
    case Figure::ring:
      return use(
          [hole = r * (8 + variant) / 16](int u, int v) { return in_disc(u, v, r) & !in_disc(u, v, hole); });
    case Figure::crescent:
      return use([bite = r * (7 + variant) / 16](int u, int v) {
        return in_disc(u, v, r) & !in_disc(u - bite, v, r * 13 / 16);
      });
    case Figure::triangle:
      return use([](int u, int v) { return sides_passed<3>(u, v, r / 2) == 3; });
    case Figure::square:
      return use([](int u, int v) { return in_square(u, v, r * 11 / 16); });
    case Figure::star:
      return use([inner = r * 5 / 16 + r * variant / 64](int u, int v) {
        return in_disc(u, v, r) & (sides_passed<5>(u, v, inner) >= 4);
      });
    case Figure::cross:
      return use([arm = r * (4 + variant) / 16](int u, int v) {
        return in_square(u, v, r * 14 / 16) & ((std::abs(u) <= arm) | (std::abs(v) <= arm));
      });
    case Figure::dots:
      return use([variant, pitch = r * 9 / 16 + r * (variant / 2) / 8](int u, int v) {
        return in_patch(variant, u, v) & in_disc(in_cell(u, pitch), in_cell(v, pitch), pitch * 9 / 32);
      });
    case Figure::stripes:
      return use([variant, width = r * 4 / 16 + r * (variant / 2) / 8](int u, int v) {
        return in_patch(variant, u, v) & odd_band(u, width);
      });
    case Figure::checks:
      return use([variant](int u, int v) {
        constexpr int width = r * 11 / 32;  // four to the side of a square patch
        return in_patch(variant, u, v) & (odd_band(u, width) != odd_band(v, width));
      });
    case Figure::bar:
      return use([](int u, int v) { return (std::abs(u) <= r * 15 / 16) & (std::abs(v) <= r * 5 / 16); });
  }
  return 0;
}

}  // namespace

int points_inside(Figure figure, int variant, const Coordinates& u, const Coordinates& v) {
  return with_test(figure, variant, [&](auto test) {
    int count = 0;
    for (std::size_t i = 0; i < u.size(); ++i) count += test(u[i], v[i]) ? 1 : 0;
    return count;
  });
}

}  // namespace normlab
