#pragma once
// What every normalization shares: sums over the pixels of 16 channels at once, and the elementwise maps. All
// of it works on t = (x - shift) - mean, see Statistics. A `Map` is the pixels of 16 channels of one sample.

#include "host/vector.hpp"

namespace normlab {

struct Map {
  const float* x;
  std::ptrdiff_t pixels, stride;  ///< stride in floats from one pixel to the next
};

/// Sum over pixels of term(offset, t); four partial sums hide the latency of the additions.
template <typename Term>
NORMLAB_INLINE Vec sum_over_pixels(std::ptrdiff_t pixels, std::ptrdiff_t stride, Term&& term) {
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  std::ptrdiff_t p = 0;
  for (; p + 4 <= pixels; p += 4) {
    for (int k = 0; k < 4; ++k) sum[k] += term((p + k) * stride);
  }
  for (; p < pixels; ++p) sum[0] += term(p * stride);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

NORMLAB_INLINE Vec sum_shifted(Map map, Vec shift) {
  return sum_over_pixels(
      map.pixels,
      map.stride, [&](std::ptrdiff_t at) __attribute__((always_inline)) { return load(map.x + at) - shift; });
}

NORMLAB_INLINE Vec sum_squares(Map map, Vec shift, Vec mean) {
  return sum_over_pixels(
      map.pixels, map.stride, [&](std::ptrdiff_t at) __attribute__((always_inline)) {
        const Vec t = (load(map.x + at) - shift) - mean;
        return t * t;
      });
}

/// z = scale t + beta, the value before the activation. Forward and backward both call it, so that they agree
/// on which values the ReLU passed.
NORMLAB_INLINE Vec affine(Vec t, Vec scale, Vec beta) {
  return t * scale + beta;
}

template <bool kRelu>
NORMLAB_INLINE Vec activated(Vec z) {
  return kRelu ? positive(z) : z;
}

/// dz = dy where the activation passed.
template <bool kRelu>
NORMLAB_INLINE Vec before_activation(Vec dy, Vec z) {
  return kRelu ? (z > 0.0F ? dy : zero()) : dy;
}

}  // namespace normlab
