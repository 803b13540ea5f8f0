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
  /// Numbers that sum_rows() needs for threads of `width` channels: scratch, then the sums.
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
template <int kChannels, typename Sum>
__device__ inline void sum_rows(const Sum (&values)[kChannels], Walk walk, Sum* scratch, Sum* sums) {
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  const int channels = walk.vectors * kChannels;
  const int parts = threads > channels ? threads / channels : 1;
  Sum* partial = scratch + threads * kChannels;
  if (thread < walk.vectors * walk.rows) {
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) scratch[thread * kChannels + k] = values[k];
  }
  __syncthreads();
  for (int i = thread; i < channels * parts; i += threads) {
    const int channel = i % channels;
    Sum sum = 0;
    for (int row = i / channels; row < walk.rows; row += parts) sum += scratch[row * channels + channel];
    partial[i] = sum;
  }
  __syncthreads();
  for (int channel = thread; channel < channels; channel += threads) {
    Sum sum = 0;
    for (int part = 0; part < parts; ++part) sum += partial[part * channels + channel];
    sums[channel] = sum;
  }
  __syncthreads();
}

/// The sums that a thread keeps of its channels over many pixels: terms are added in runs of 16, and the runs
/// to another sum, so that what is rounded away does not grow with the number of terms but with its root.
template <int kChannels>
class LongSums {
 public:
  /// Call it before each pixel's terms are added.
  __device__ void next() {
    constexpr int kRun = 16;
    if (terms_++ < kRun) return;
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      total_[k] += run_[k];
      run_[k] = 0;
    }
    terms_ = 1;
  }
  __device__ void add(int k, float term) { run_[k] += term; }
  /// The sums, when all terms are added.
  __device__ void finish(float (&sums)[kChannels]) const {
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) sums[k] = total_[k] + run_[k];
  }

 private:
  float run_[kChannels] = {}, total_[kChannels] = {};
  int terms_ = 0;
};

/// mean of x = shift + mean, where the shift is that mean as a float.
__device__ inline void split_mean(double value, float* shift, float* mean) {
  *shift = static_cast<float>(value);
  *mean = static_cast<float>(value - static_cast<double>(*shift));
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
