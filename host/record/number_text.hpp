#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace normlab {

/// For people: with so many decimals, or in scientific form where those would say nothing: 1.2346, 6.748e+30.
[[nodiscard]] inline std::string number_text(double value, int decimals) {
  return std::isfinite(value) && std::abs(value) >= 1e6 ? fmt::format("{:.3e}", value)
                                                        : fmt::format("{:.{}f}", value, decimals);
}

}  // namespace normlab
