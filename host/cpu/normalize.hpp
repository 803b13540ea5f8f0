#pragma once
// What every normalization shares: sums over the pixels of 16 channels at once, and the elementwise maps. All
// of it works on t = (x - shift) - mean, see Statistics.
//
// Statistics take two passes. The first finds the mean, of x less its first value, which makes a constant's
// exact. The second adds up t^2 around that mean, and t, whose sum says by how much the mean was off (Chan,
// Golub and LeVeque, "Algorithms for computing the sample variance", 1983): m2 = sum t^2 - (sum t)^2 / n. So
// it does not matter how near to the mean the first value was.

#include <cstddef>
#include <type_traits>

#include "host/cpu/sums.hpp"

namespace normlab {

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

/// The coefficients of sixteen channels, in registers.
template <typename Set>
struct ChannelBlock {
  Vec<Set> shift, mean, scale, beta;

  NORMLAB_INLINE ChannelBlock(const float* shifts, const float* means, const float* scales,
                              const float* betas)
      : shift(load<Set>(shifts)), mean(load<Set>(means)), scale(load<Set>(scales)), beta(load<Set>(betas)) {}

  /// t of x.
  [[nodiscard]] NORMLAB_INLINE Vec<Set> centered(Vec<Set> x) const { return (x - shift) - mean; }
  /// The value before the activation.
  [[nodiscard]] NORMLAB_INLINE Vec<Set> z(Vec<Set> t) const { return affine(t, scale, beta); }
};

/// Calls loop(relu), which is a type, so that the loop is compiled for each case.
template <typename Loop>
NORMLAB_INLINE void for_activation(bool relu, Loop loop) {
  relu ? loop(std::true_type()) : loop(std::false_type());
}

/// y = activation(scale t + beta).
template <bool kRelu, typename Set, typename T>
NORMLAB_INLINE void normalize(const ChannelBlock<Set>& k, Map<T> map, T* y) {
  for (std::ptrdiff_t i = 0; i < map.pixels * map.stride; i += map.stride)
    store(y + i, activated<kRelu>(k.z(k.centered(load<Set>(map.x + i)))));
}

/// totals[0] += the sums of dz, totals[1] += those of dz t.
template <bool kRelu, typename Set, typename T>
NORMLAB_INLINE void add_gradients(const ChannelBlock<Set>& k, Map<T> map, const T* dy,
                                  double (*totals)[kLanes]) {
  add_over_pixels<Set, 2, 2>(map.pixels, totals, [&](std::ptrdiff_t p) NORMLAB_INLINE_LAMBDA {
    const Vec<Set> t = k.centered(load<Set>(map.x + p * map.stride));
    const Vec<Set> dz = before_activation<kRelu>(load<Set>(dy + p * map.stride), k.z(t));
    return Several<Set, 2>{{dz, dz * t}};
  });
}

/// dx = scale dz - a - b t.
template <bool kRelu, typename Set, typename T>
NORMLAB_INLINE void map_gradients(const ChannelBlock<Set>& k, Vec<Set> a, Vec<Set> b, Map<T> map, const T* dy,
                                  T* dx) {
  for (std::ptrdiff_t i = 0; i < map.pixels * map.stride; i += map.stride) {
    const Vec<Set> t = k.centered(load<Set>(map.x + i));
    const Vec<Set> dz = before_activation<kRelu>(load<Set>(dy + i), k.z(t));
    store(dx + i, k.scale * dz - a - b * t);
  }
}

}  // namespace normlab
