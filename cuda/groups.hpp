#pragma once
// How blocks and threads share the groups of a normalization; see group_norm.cu.

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// What all blocks of a launch share.
struct GroupShape {
  int channels = 0, stride = 0;  ///< stride: channels from one pixel to the next
  int pixels = 0;
  int groups = 0, size = 0;  ///< size: channels of a group
  int slab = 0;              ///< channels of a block
  bool centered = true, relu = false;
  Walk walk;
};

inline constexpr int kMostGroupThreads = 512;
/// A slab holds whole groups and whole vectors: at most this many groups.
inline constexpr int kMostSlabGroups = 8;

/// A thread's place: its channels and its pixels.
template <int kChannels>
struct GroupThread {
  int v, row;
  int channel;  ///< its first
  bool works;
  std::size_t at;  ///< of its channels in pixel 0 of the sample

  __device__ explicit GroupThread(const GroupShape& s)
      : v(static_cast<int>(threadIdx.x) % s.walk.vectors),
        row(static_cast<int>(threadIdx.x) / s.walk.vectors),
        channel(static_cast<int>(blockIdx.x) * s.slab + v * kChannels),
        works(row < s.walk.rows && channel < s.stride),
        at(static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(s.pixels) *
               static_cast<std::size_t>(s.stride) +
           static_cast<std::size_t>(channel)) {}
  /// The group of its channel k, in the block; padding counts with the last.
  __device__ int group(const GroupShape& s, int k) const {
    const int last = s.channels - 1;
    const int c = channel + k < s.channels ? channel + k : last;
    return (c - static_cast<int>(blockIdx.x) * s.slab) / s.size;
  }
};

/// totals[g] = the sum over the group's channels of weight(channel) sums[channel in the slab]; by one warp
/// for each group. All threads call it, and the totals may be read when it returns.
template <typename Weight>
__device__ inline void sum_groups(const GroupShape& s, const float* sums, Weight weight, float* totals) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int first = static_cast<int>(blockIdx.x) * s.slab;
  const int left = (s.channels - first) / s.size, most = s.slab / s.size;
  const int groups = left < most ? left : most;
  for (int g = static_cast<int>(threadIdx.x) / kWarp; g < groups; g += warps) {
    float sum = 0;
    for (int c = g * s.size + lane; c < (g + 1) * s.size; c += kWarp) sum += weight(first + c) * sums[c];
    sum = sum_lanes(sum);
    if (lane == 0) totals[g] = sum;
  }
  __syncthreads();
}

/// What forward and backward know of a thread's channels.
template <int kChannels>
struct GroupCoefficients {
  float shift[kChannels] = {}, mean[kChannels] = {}, scale[kChannels] = {}, beta[kChannels] = {};

  /// scale is gamma rstd, and rstd alone with per-element gamma.
  template <bool kElementwise>
  __device__ void read(const GroupShape& s, int channel, unsigned sample, const Statistics* statistics,
                       const float* gamma, const float* offset) {
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      const int c = channel + k;
      if (c >= s.channels) continue;
      const Statistics of =
          statistics[sample * static_cast<unsigned>(s.groups) + static_cast<unsigned>(c / s.size)];
      shift[k] = of.shift;
      mean[k] = of.mean;
      scale[k] = kElementwise ? of.rstd : gamma[c] * of.rstd;
      beta[k] = kElementwise || offset == nullptr ? 0.0F : offset[c];
    }
  }
  __device__ float centered(float x, int k) const { return (x - shift[k]) - mean[k]; }
};

}  // namespace normlab::NORMLAB_PLATFORM
