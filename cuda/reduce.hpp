#pragma once
// How a block walks over pixels of channels, and reductions that add in a fixed order, whatever the order in
// which threads run. No float atomics.

#include "cuda/vec.hpp"

namespace normlab::NORMLAB_PLATFORM {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

/// Threads of a block as `rows` rows of `vectors` vectors: a thread keeps its channels, so their coefficients
/// stay in registers, and goes from pixel to pixel in steps of `rows`. Some threads may be left over.
struct Walk {
  int vectors = 1, rows = 1;

  /// About `threads` threads, at most one row for each of `pixels`.
  [[nodiscard]] static constexpr Walk plan(int vectors, int pixels, int threads) {
    const int most = threads / vectors > 1 ? threads / vectors : 1;
    return {vectors, pixels < most ? pixels : most};
  }
  [[nodiscard]] constexpr int threads() const { return (vectors * rows + kWarp - 1) / kWarp * kWarp; }
  /// Floats that sum_rows() needs for threads of `width` channels: scratch, then the sums.
  [[nodiscard]] constexpr int scratch(int width) const {
    const int channels = vectors * width;
    return threads() * width + (threads() > channels ? threads() : channels);
  }
};

/// Calls load(pixel) for up to four pixels before it calls use(pixel, loaded) for the first: requests wait in
/// memory together.
template <typename Load, typename Use>
__device__ inline void for_pixels(int first, int end, int step, Load load, Use use) {
  constexpr int kTogether = 4;
  for (int begin = first; begin < end; begin += kTogether * step) {
    decltype(load(0)) loaded[kTogether] = {};
    NORMLAB_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      if (begin + i * step < end) loaded[i] = load(begin + i * step);
    }
    NORMLAB_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      if (begin + i * step < end) use(begin + i * step, loaded[i]);
    }
  }
}

/// sums[channel] = the sum over the block's rows of values[channel of the thread], for all of the block's
/// channels. All threads call it; `scratch` and `sums` are shared, and the sums may be read when it returns.
/// In two steps, so that even for few channels many threads work: rows p, p + parts, p + 2 parts, ... in
/// order, then the parts in order.
template <int kChannels>
__device__ inline void sum_rows(const float (&values)[kChannels], Walk walk, float* scratch, float* sums) {
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  const int channels = walk.vectors * kChannels;
  const int parts = threads > channels ? threads / channels : 1;
  float* partial = scratch + threads * kChannels;
  if (thread < walk.vectors * walk.rows) {
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) scratch[thread * kChannels + k] = values[k];
  }
  __syncthreads();
  for (int i = thread; i < channels * parts; i += threads) {
    const int channel = i % channels;
    float sum = 0;
    for (int row = i / channels; row < walk.rows; row += parts) sum += scratch[row * channels + channel];
    partial[i] = sum;
  }
  __syncthreads();
  for (int channel = thread; channel < channels; channel += threads) {
    float sum = 0;
    for (int part = 0; part < parts; ++part) sum += partial[part * channels + channel];
    sums[channel] = sum;
  }
  __syncthreads();
}

/// The sum over a warp's lanes, in all of them; all lanes call it.
template <typename T>
__device__ inline T sum_lanes(T value) {
  NORMLAB_UNROLL
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

/// The sum over a block of kThreads threads, in all of them; all call it.
template <unsigned kThreads>
__device__ inline double sum_block(double value) {
  NORMLAB_SHARED(double, warps, kThreads / kWarp);
  const unsigned thread = threadIdx.x;
  value = sum_lanes(value);
  if (thread % kWarp == 0) warps[thread / kWarp] = value;
  __syncthreads();
  double sum = 0;
  for (unsigned i = 0; i < kThreads / kWarp; ++i) sum += warps[i];
  __syncthreads();  // the next call may write
  return sum;
}

}  // namespace normlab::NORMLAB_PLATFORM
