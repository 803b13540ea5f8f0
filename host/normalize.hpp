#pragma once
// What every normalization shares: sums over the pixels of 16 channels at once, and the elementwise maps. All
// of it works on t = (x - shift) - mean, see Statistics. A `Map` is the pixels of 16 channels of one sample.

#include "host/vector.hpp"

namespace normlab {

template <typename T>
struct Map {
  const T* x;
  std::ptrdiff_t pixels, stride;  ///< stride in elements from one pixel to the next
};

/// Calls body(p, k) for every pixel p, where k < kSums says to which of several running sums it adds.
template <int kSums, typename Body>
NORMLAB_INLINE void for_pixels(std::ptrdiff_t pixels, Body body) {
  std::ptrdiff_t p = 0;
  for (; p + kSums <= pixels; p += kSums) {
    unrolled<kSums>([&](int k) NORMLAB_INLINE_LAMBDA { body(p + k, k); });
  }
  for (; p < pixels; ++p) body(p, 0);
}

/// Sum over pixels of term(offset); several partial sums hide the latency of the additions.
template <typename Set, typename Term>
NORMLAB_INLINE Vec<Set> sum_over_pixels(std::ptrdiff_t pixels, std::ptrdiff_t stride, Term term) {
  using SumsOf = Sums<Set, 4>;
  SumsOf sum;
  for_pixels<SumsOf::kCount>(
      pixels, [&](std::ptrdiff_t p, int k) NORMLAB_INLINE_LAMBDA { sum.part[k] += term(p * stride); });
  return sum.total();
}

template <typename Set, typename T>
NORMLAB_INLINE Vec<Set> sum_shifted(Map<T> map, Vec<Set> shift) {
  return sum_over_pixels<Set>(map.pixels, map.stride, [&](std::ptrdiff_t at) NORMLAB_INLINE_LAMBDA {
    return load<Set>(map.x + at) - shift;
  });
}

template <typename Set, typename T>
NORMLAB_INLINE Vec<Set> sum_squares(Map<T> map, Vec<Set> shift, Vec<Set> mean) {
  return sum_over_pixels<Set>(map.pixels, map.stride, [&](std::ptrdiff_t at) NORMLAB_INLINE_LAMBDA {
    const Vec<Set> t = (load<Set>(map.x + at) - shift) - mean;
    return t * t;
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

/// dz = dy where the activation passed.
template <bool kRelu, typename Set>
NORMLAB_INLINE Vec<Set> before_activation(Vec<Set> dy, Vec<Set> z) {
  return kRelu ? select(z > zero<Set>(), dy, zero<Set>()) : dy;
}

}  // namespace normlab
