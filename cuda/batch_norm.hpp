#pragma once
// What batch norm's kernels share, forward and backward.

#include "cuda/channels.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// A thread's channels' coefficients; zero in the padding.
template <int kChannels>
struct ChannelCoefficients {
  float shift[kChannels] = {}, mean[kChannels] = {}, scale[kChannels] = {}, beta[kChannels] = {};

  __device__ ChannelCoefficients(const ChannelShape& s, int channel, const Statistics* statistics,
                                 const float* gamma, const float* offset) {
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      if (channel + k >= s.channels) continue;
      const Statistics of = statistics[channel + k];
      shift[k] = of.shift;
      mean[k] = of.mean;
      scale[k] = gamma[channel + k] * of.rstd;
      beta[k] = offset[channel + k];
    }
  }
  __device__ float centered(float x, int k) const { return (x - shift[k]) - mean[k]; }
  __device__ float before_activation(bool relu, float t, float dy, int k) const {
    return relu ? where_positive(affine(t, scale[k], beta[k]), dy) : dy;
  }
};

}  // namespace normlab::NORMLAB_PLATFORM
