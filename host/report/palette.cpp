#include "host/report/palette.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace normlab {

namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 8> colors{{
    {"none", "#7a7a7a"},
    {"bn", "#1b7ebf"},
    {"ln", "#d55e00"},
    {"ln-elementwise", "#c08a00"},
    {"gn", "#009e73"},
    {"in", "#c0599a"},
    {"rms", "#3a9bd0"},
    {"rms-elementwise", "#6a5fb8"},
}};
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
  for (const auto& [name, color] : colors)
    if (name == norm) return std::string(color);
  int groups = 0;
  if (norm.starts_with("gn:") &&
      std::from_chars(norm.data() + 3, norm.data() + norm.size(), groups).ec == std::errc{} && groups > 0) {
    // gn:4, the usual one, is the green itself; each doubling is a step.
    const double doublings = std::clamp(std::log2(groups) - 2, -2.0, 3.0);
    return shade(norm_color("gn"), doublings * (doublings < 0 ? 0.26 : 0.2));
  }
  return std::string(other);
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
