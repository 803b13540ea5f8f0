#pragma once
// Counts and indices are int here; the standard library wants them without a sign.

#include <concepts>
#include <cstddef>
#ifdef NORMLAB_CHECKED
#include <stdexcept>
#endif

namespace normlab {

/// A count or an index, which is not negative: a checked build throws std::out_of_range where it is.
template <std::integral Number>
[[nodiscard]] constexpr std::size_t as_size(Number number) {
#ifdef NORMLAB_CHECKED
  if (number < Number(0)) throw std::out_of_range("a negative count or index");
#endif
  return static_cast<std::size_t>(number);
}

}  // namespace normlab
