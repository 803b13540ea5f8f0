#pragma once
// Integer arithmetic for the synthetic set. A compiler may contract or reorder floating point and every libm
// rounds sin() in its own way; integers are the same everywhere, so the drawn bytes are too.

#include <array>
#include <cstdint>

#include "layers/as_size.hpp"

namespace normlab::fixed {

inline constexpr int turn = 1024;             ///< Angles are counted in 1/1024 of a turn.
inline constexpr int one = 1 << 14;           ///< 1.0 as a sine or cosine.
inline constexpr int quarter = turn / 4;      ///< A right angle.
inline constexpr std::int64_t q30 = 1 << 30;  ///< 1.0 while the table is computed.

/// sin(pi/2 * k/256) in units of 1/one for k in [0, 256]: the Taylor series in 30-bit fixed point. Ten terms
/// leave an error far below half a unit.
constexpr int quarter_sine(int k) {
  const std::int64_t half_pi = 1686629713;  // pi/2 * 2^30
  const std::int64_t x = half_pi * k / quarter;
  const std::int64_t square = x * x / q30;
  std::int64_t term = x;
  std::int64_t sum = x;
  for (int i = 1; i < 10; ++i) {
    term = -(term * square / q30) / ((2 * i) * (2 * i + 1));
    sum += term;
  }
  const std::int64_t scale = q30 / one;
  return static_cast<int>((sum + scale / 2) / scale);
}

inline constexpr auto quarter_sines = [] {
  std::array<int, quarter + 1> table{};
  for (int k = 0; k <= quarter; ++k) table[as_size(k)] = quarter_sine(k);
  return table;
}();

/// The sine of any angle (1/turn units), in units of 1/one: [-one, one].
constexpr int sine(int angle) {
  const int wrapped = angle & (turn - 1);
  const int in_half = wrapped & (turn / 2 - 1);
  const int value = quarter_sines[as_size(in_half <= quarter ? in_half : turn / 2 - in_half)];
  return wrapped < turn / 2 ? value : -value;
}

/// The cosine of any angle (1/turn units), in units of 1/one.
constexpr int cosine(int angle) {
  return sine(angle + quarter);
}

}  // namespace normlab::fixed
