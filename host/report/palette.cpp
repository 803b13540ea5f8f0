#include "host/report/palette.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "layers/norms.hpp"

namespace normlab {

namespace {

constexpr std::string_view other = "#8c6239";

}  // namespace

std::string shade(std::string_view color, double amount) {
  std::string mixed = "#";
  for (std::size_t at = 1; at + 1 < color.size(); at += 2) {
    int value = 0;
    std::from_chars(color.data() + at, color.data() + at + 2, value, 16);
    const double target = amount > 0 ? 255 : 0;
    mixed += fmt::format("{:02x}", std::lround(value + (target - value) * std::min(1.0, std::abs(amount))));
  }
  return mixed;
}

std::string norm_color(std::string_view norm) {
  const NormKind* kind = norm_kind(norm);
  if (kind == nullptr) return std::string(other);
  const std::size_t colon = norm.find(':');
  if (colon == std::string_view::npos) return std::string(kind->color);
  int parameter = 0;
  std::from_chars(norm.data() + colon + 1, norm.data() + norm.size(), parameter);
  if (parameter < 1) return std::string(other);
  // gn:4, the usual one, has the color itself; each doubling is a step.
  const double doublings = std::clamp(std::log2(parameter) - 2, -2.0, 3.0);
  return shade(kind->color, doublings * (doublings < 0 ? 0.26 : 0.2));
}

std::string depth_color(double depth) {
  constexpr std::array<std::array<double, 3>, 4> stops{
      {{92, 75, 190}, {176, 62, 150}, {222, 92, 82}, {224, 156, 30}}};
  const double at = std::clamp(depth, 0.0, 1.0) * static_cast<double>(stops.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(at), stops.size() - 2);
  std::string color = "#";
  for (std::size_t part = 0; part < 3; ++part)
    color += fmt::format("{:02x}", std::lround(std::lerp(stops[below][part], stops[below + 1][part],
                                                         at - static_cast<double>(below))));
  return color;
}

}  // namespace normlab
