// Batch norm backward: sums over the batch of dz and dz x^ (dgamma and dbeta), then dx. The sums are made as
// the moments are, in two steps; x and dy are read for the sums, and again for dx.

#include "cuda/batch_norm.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// x and dy of one pixel.
struct ChannelPair {
  Raw x, dy;
};

/// t = x - mean, and dz: dy where the activation passed it.
template <int kChannels>
__device__ inline void before_activation(const ChannelCoefficients<kChannels>& of, bool relu,
                                         const ChannelPair& raw, float (&t)[kChannels],
                                         float (&dz)[kChannels]) {
  widen(raw.x, t);
  widen(raw.dy, dz);
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    t[k] = of.centered(t[k], k);
    dz[k] = of.before_activation(relu, t[k], dz[k], k);
  }
}

/// sums(stretch, channel) of dz and of dz (x - mean). Bytes: x and dy in; 90 % of what memory delivers.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads, 2)
    batch_norm_gradient_kernel(ChannelShape s, bool relu, const T* __restrict__ x,
                               const Statistics* __restrict__ statistics, const float* __restrict__ gamma,
                               const float* __restrict__ beta, const T* __restrict__ dy,
                               BatchNormGradientPartial* __restrict__ sums_out) {
  constexpr int kChannels = kWidth<T>;
  auto* scratch = dynamic_shared<float>();
  float* sums = scratch + s.walk.scratch(kChannels);
  float* sums_t = sums + s.walk.vectors * kChannels;
  const ChannelThread<kChannels> my(s);
  LongSums<kChannels> of_dz, of_dz_t;
  if (my.works) {
    const ChannelCoefficients<kChannels> of(s, my.channel, statistics, gamma, beta);
    for_pixels(
        my.begin + my.row, my.end, s.walk.rows,
        [&](int p) {
          return ChannelPair{load_raw(x + my.at(s, p)), load_raw(dy + my.at(s, p))};
        },
        [&](int, const ChannelPair& raw) {
          float t[kChannels], dz[kChannels];
          before_activation(of, relu, raw, t, dz);
          of_dz.next();
          of_dz_t.next();
          NORMLAB_UNROLL
          for (int k = 0; k < kChannels; ++k) {
            of_dz.add(k, dz[k]);
            of_dz_t.add(k, dz[k] * t[k]);
          }
        });
  }
  float sum[kChannels], sum_t[kChannels];
  of_dz.finish(sum);
  of_dz_t.finish(sum_t);
  sum_rows(sum, s.walk, scratch, sums);
  sum_rows(sum_t, s.walk, scratch, sums_t);
  if (my.row > 0 || !my.works) return;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.channel + k >= s.channels) continue;
    const int i = my.channel - my.first + k;
    sums_out[static_cast<int>(blockIdx.x) * s.channels + my.channel + k] = {sums[i], sums_t[i]};
  }
}

/// A warp for each channel adds its stretches, in double.
__global__ void batch_norm_gradient_merge_kernel(ChannelShape s, const BatchNormGradientPartial* sums,
                                                 const Statistics* statistics,
                                                 BatchNormGradientPartial* partial) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int c = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / kWarp);
  if (c >= s.channels) return;  // whole warps
  double sum = 0, sum_t = 0;
  for (int i = lane; i < s.stretches; i += kWarp) {
    sum += static_cast<double>(sums[i * s.channels + c].dbeta);
    sum_t += static_cast<double>(sums[i * s.channels + c].dgamma);
  }
  sum = sum_lanes(sum);
  sum_t = sum_lanes(sum_t);
  if (lane == 0) {
    partial[c] = {static_cast<float>(sum),
                  static_cast<float>(sum_t * static_cast<double>(statistics[c].rstd))};
  }
}

__global__ void batch_norm_gradient_reduce_kernel(BatchNormGradientReduce args) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= args.x.c) return;
  const double count = static_cast<double>(args.samples) * args.x.h * args.x.w;
  double dgamma = 0, dbeta = 0;
  for (int shard = 0; shard < args.shards; ++shard) {
    const BatchNormGradientPartial part = args.partials[shard * args.x.c + c];
    dgamma += static_cast<double>(part.dgamma);
    dbeta += static_cast<double>(part.dbeta);
  }
  args.means[c] = {static_cast<float>(dbeta / count), static_cast<float>(dgamma / count)};
  args.dgamma[c] += static_cast<float>(dgamma);
  args.dbeta[c] += static_cast<float>(dbeta);
}

/// dx = scale (dz - mean(dz) - x^ mean(dz x^)). Bytes: x and dy in, dx out; 90 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads, 2)
    batch_norm_backward_kernel(ChannelShape s, bool relu, const T* __restrict__ x,
                               const Statistics* __restrict__ statistics, const float* __restrict__ gamma,
                               const float* __restrict__ beta,
                               const BatchNormGradientPartial* __restrict__ means, const T* __restrict__ dy,
                               T* __restrict__ dx) {
  constexpr int kChannels = kWidth<T>;
  const ChannelThread<kChannels> my(s);
  if (!my.works) return;
  const ChannelCoefficients<kChannels> of(s, my.channel, statistics, gamma, beta);
  float a[kChannels] = {}, b[kChannels] = {};
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const int c = my.channel + k;
    if (c >= s.channels) continue;
    a[k] = of.scale[k] * means[c].dbeta;
    b[k] = of.scale[k] * means[c].dgamma * statistics[c].rstd;
  }
  for_pixels(
      my.begin + my.row, my.end, s.walk.rows,
      [&](int p) {
        return ChannelPair{load_raw(x + my.at(s, p)), load_raw(dy + my.at(s, p))};
      },
      [&](int p, const ChannelPair& raw) {
        float t[kChannels], dz[kChannels];
        before_activation(of, relu, raw, t, dz);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) {
          dz[k] = of.scale[k] * dz[k] - a[k] - b[k] * t[k];
        }
        store_raw(dx + my.at(s, p), narrow(dz));
      });
}

void CudaBatchNorm::gradient_partial(const BatchNormArgs& args, Tensor dy,
                                     BatchNormGradientPartial* partial) {
  with_elements(dy.type, [&](auto zero) {
    using T = decltype(zero);
    const ChannelShape s = channel_shape<T>(args.x);
    auto* sums = static_cast<BatchNormGradientPartial*>(
        workspace(static_cast<std::size_t>(s.stretches) * static_cast<std::size_t>(s.channels) *
                  sizeof(BatchNormGradientPartial)));
    launch(batch_norm_gradient_kernel<T>, grid_of<T>(s), threads_of(s), shared_of<T>(s, 2), stream(), s,
           args.relu, elements<T>(args.x), args.statistics, args.gamma, args.beta, elements<T>(dy), sums);
    launch(batch_norm_gradient_merge_kernel, warp_blocks(s.channels), kMergeThreads, 0, stream(), s, sums,
           args.statistics, partial);
  });
}

void CudaBatchNorm::gradient_reduce(const BatchNormGradientReduce& args) {
  launch(batch_norm_gradient_reduce_kernel, thread_blocks(args.x.c), kMergeThreads, 0, stream(), args);
}

void CudaBatchNorm::backward(const BatchNormArgs& args, const BatchNormGradientPartial* means, Tensor dy,
                             Tensor dx) {
  if (dx.empty()) return;
  with_elements(dx.type, [&](auto zero) {
    using T = decltype(zero);
    const ChannelShape s = channel_shape<T>(args.x);
    launch(batch_norm_backward_kernel<T>, grid_of<T>(s), threads_of(s), 0, stream(), s, args.relu,
           elements<T>(args.x), args.statistics, args.gamma, args.beta, means, elements<T>(dy),
           elements<T>(dx));
  });
}

}  // namespace normlab::NORMLAB_PLATFORM
