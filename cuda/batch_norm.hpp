#pragma once
// What batch norm's kernels share, forward and backward.

#include "cuda/channels.hpp"
#include "layers/kernels/batch_norm.hpp"

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

class CudaBatchNorm final : public CudaKernels<BatchNormKernels> {
 public:
  using CudaKernels::CudaKernels;
  void partial(Tensor x, BatchNormPartial* partial) override;
  void reduce(const BatchNormReduce& args) override;
  void running(const float* mean, const float* var, int c, Statistics* statistics) override;
  void forward(const BatchNormArgs& args, Tensor y) override;
  void gradient_partial(const BatchNormArgs& args, Tensor dy, BatchNormGradientPartial* partial) override;
  void gradient_reduce(const BatchNormGradientReduce& args) override;
  void backward(const BatchNormArgs& args, const BatchNormGradientPartial* means, Tensor dy,
                Tensor dx) override;
  [[nodiscard]] std::unique_ptr<BatchNormPlan> plan(const BatchNormSpec& spec) override;
};

}  // namespace normlab::NORMLAB_PLATFORM
