#pragma once
// What every normalization shares: sums over the pixels of 16 channels at once, and the elementwise maps. All
// of it works on t = (x - shift) - mean, see Statistics. A `Map` is the pixels of 16 channels of one sample.
//
// Statistics take two passes. The first finds the mean, of x less its first value, which makes a constant's
// exact. The second adds up t^2 around that mean, and t, whose sum says by how much the mean was off (Chan,
// Golub and LeVeque, "Algorithms for computing the sample variance", 1983): m2 = sum t^2 - (sum t)^2 / n. So
// it does not matter how near to the mean the first value was.

#include <algorithm>

#include "host/vector.hpp"

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

/// totals[0] += the sums of t = (x - shift) - mean, totals[1] += those of t^2.
template <typename Set, typename T>
NORMLAB_INLINE void add_squares(Map<T> map, Vec<Set> shift, Vec<Set> mean, double (*totals)[kLanes]) {
  add_over_pixels<Set, 2, 2>(map.pixels, totals, [&](std::ptrdiff_t p) NORMLAB_INLINE_LAMBDA {
    const Vec<Set> t = (load<Set>(map.x + p * map.stride) - shift) - mean;
    return Several<Set, 2>{{t, t * t}};
  });
}

/// z = scale t + beta, the value before the activation. Forward and backward both call it, so that they agree
/// on which values the ReLU passed.
template <typename Set>
NORMLAB_INLINE Vec<Set> affine(Vec<Set> t, Vec<Set> scale, Vec<Set> beta) {
  return t * scale + beta;
}

template <bool kRelu, typename Set>
NORMLAB_INLINE Vec<Set> activated(Vec<Set> z) {
  return kRelu ? positive(z) : z;
}

/// mean of x = shift + mean, where the shift is that mean as a float.
struct ShiftedMean {
  float shift, mean;

  explicit ShiftedMean(double value)
      : shift(static_cast<float>(value)), mean(static_cast<float>(value - static_cast<double>(shift))) {}
};

/// dz = dy where the activation passed.
template <bool kRelu, typename Set>
NORMLAB_INLINE Vec<Set> before_activation(Vec<Set> dy, Vec<Set> z) {
  return kRelu ? where_positive(z, dy) : dy;
}

}  // namespace normlab
