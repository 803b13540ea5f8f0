#pragma once
// Long sums over the pixels of 16 channels at once, fast and exact: in fp32 over a few terms, whose sums are
// added in double.

#include <algorithm>

#include "host/cpu/vector.hpp"

namespace normlab {

/// Vectors that are summed side by side.
template <typename Set, int kCount>
struct Several {
  Vec<Set> part[kCount];
};

template <typename T>
struct Map {
  const T* x;
  std::ptrdiff_t pixels, stride;  ///< stride in elements from one pixel to the next
};

/// How many terms a running sum takes in fp32 before it is added to one in double. What so few round away is
/// below the last digit of a result, and however long the sum, it stays so.
inline constexpr int kTerms = 16;

/// totals[s][lane] += the sum over pixels p of terms(p).part[s], for kSums sums at once. kWanted: see
/// chains().
template <typename Set, int kWanted, int kSums, typename Terms>
NORMLAB_INLINE void add_over_pixels(std::ptrdiff_t pixels, double (*totals)[kLanes], Terms terms) {
  constexpr int kChains = chains<Set>(kWanted);
  for (std::ptrdiff_t first = 0; first < pixels; first += kChains * kTerms) {
    const std::ptrdiff_t end = std::min<std::ptrdiff_t>(pixels, first + kChains * kTerms);
    Sums<Set, kWanted> sums[kSums];
    const auto add = [&](std::ptrdiff_t p, int chain) NORMLAB_INLINE_LAMBDA {
      const Several<Set, kSums> term = terms(p);
      unrolled<kSums>([&](int s) NORMLAB_INLINE_LAMBDA { sums[s].part[chain] += term.part[s]; });
    };
    std::ptrdiff_t p = first;
    for (; p + kChains <= end; p += kChains) {
      unrolled<kChains>([&](int chain) NORMLAB_INLINE_LAMBDA { add(p + chain, chain); });
    }
    for (; p < end; ++p) add(p, 0);
    unrolled<kSums>([&](int s) NORMLAB_INLINE_LAMBDA {
      alignas(64) float lane[kLanes];
      store(lane, sums[s].total());
      for (int i = 0; i < kLanes; ++i) totals[s][i] += static_cast<double>(lane[i]);
    });
  }
}

/// *total += the sums of x - shift.
template <typename Set, typename T>
NORMLAB_INLINE void add_shifted(Map<T> map, Vec<Set> shift, double (*total)[kLanes]) {
  add_over_pixels<Set, 4, 1>(map.pixels, total, [&](std::ptrdiff_t p) NORMLAB_INLINE_LAMBDA {
    return Several<Set, 1>{{load<Set>(map.x + p * map.stride) - shift}};
  });
}

}  // namespace normlab
