// Batch norm in the parts that operations.hpp names. A shard here is a whole batch of many pixels, so a
// partial sum is itself made in two steps: each block adds up a stretch of pixels, and a second small kernel
// adds the blocks in double, in order (see channels.hpp).

#include "cuda/channels.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// A channel's part in one stretch; the mean is over x - shift.
struct StretchMoments {
  float mean, m2;
};

/// moments(stretch, channel), with the shard's first value of the channel as shift. Bytes: x in; 90 % of what
/// memory delivers.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads, 2)
    batch_norm_moments_kernel(ChannelShape s, const T* __restrict__ x, StretchMoments* __restrict__ moments) {
  constexpr int kChannels = kWidth<T>;
  auto* scratch = dynamic_shared<float>();
  float* sums = scratch + s.walk.scratch(kChannels);
  const ChannelThread<kChannels> my(s);
  float shift[kChannels] = {}, mean[kChannels] = {}, m2[kChannels] = {};
  float seen = 0;
  if (my.works) {
    widen(load_raw(x + my.channel), shift);
    constexpr int kTogether = 4;  // read together; their own mean and squares, then Chan's merge
    for (int p = my.begin + my.row; p < my.end; p += kTogether * s.walk.rows) {
      Raw raw[kTogether] = {};
      float here = 0;
      NORMLAB_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        const int pixel = p + i * s.walk.rows;
        if (pixel < my.end) {
          raw[i] = load_raw(x + my.at(s, pixel));
          here += 1;
        }
      }
      const float total = seen + here, weight = here / total, both = seen * weight, share = 1.0F / here;
      float sum[kChannels] = {}, squares[kChannels] = {}, v[kChannels];
      NORMLAB_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        if (p + i * s.walk.rows >= my.end) continue;
        widen(raw[i], v);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) sum[k] += v[k] - shift[k];
      }
      NORMLAB_UNROLL
      for (int k = 0; k < kChannels; ++k) sum[k] *= share;
      NORMLAB_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        if (p + i * s.walk.rows >= my.end) continue;
        widen(raw[i], v);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) {
          const float t = (v[k] - shift[k]) - sum[k];
          squares[k] += t * t;
        }
      }
      NORMLAB_UNROLL
      for (int k = 0; k < kChannels; ++k) {
        const float delta = sum[k] - mean[k];
        mean[k] += delta * weight;
        m2[k] += squares[k] + delta * delta * both;
      }
      seen = total;
    }
  }
  // The block's mean, and the squares around it.
  float part[kChannels];
  const float share = 1.0F / static_cast<float>(my.end - my.begin);
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) part[k] = mean[k] * (seen * share);
  sum_rows(part, s.walk, scratch, sums);
  float block_mean[kChannels];
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    block_mean[k] = sums[my.channel - my.first + k];
    const float delta = mean[k] - block_mean[k];
    part[k] = m2[k] + seen * delta * delta;
  }
  sum_rows(part, s.walk, scratch, sums);
  if (my.row > 0 || !my.works) return;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.channel + k >= s.channels) continue;
    moments[static_cast<int>(blockIdx.x) * s.channels + my.channel + k] = {block_mean[k],
                                                                           sums[my.channel - my.first + k]};
  }
}

/// A warp for each channel merges its stretches, in double. Bytes: few.
template <typename T>
__global__ void batch_norm_merge_kernel(ChannelShape s, const T* x, const StretchMoments* moments,
                                        BatchNormPartial* partial) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int c = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / kWarp);
  if (c >= s.channels) return;  // whole warps
  const auto count_of = [&](int i) {
    const int left = s.pixels - i * s.stretch;
    return static_cast<double>(left < s.stretch ? left : s.stretch);
  };
  double mean = 0, m2 = 0;
  for (int i = lane; i < s.stretches; i += kWarp) {
    mean += count_of(i) * static_cast<double>(moments[i * s.channels + c].mean);
  }
  mean = sum_lanes(mean) / s.pixels;
  for (int i = lane; i < s.stretches; i += kWarp) {
    const StretchMoments part = moments[i * s.channels + c];
    const double delta = static_cast<double>(part.mean) - mean;
    m2 += static_cast<double>(part.m2) + count_of(i) * delta * delta;
  }
  m2 = sum_lanes(m2);
  if (lane == 0) partial[c] = {to_float(x[c]), static_cast<float>(mean), static_cast<float>(m2)};
}

struct ShardShape {
  int shards, shard_samples, samples, pixels, channels;
};

/// Chan, Golub and LeVeque's merge (1979) of the shards, and the running statistics.
__global__ void batch_norm_reduce_kernel(ShardShape s, const BatchNormPartial* partials,
                                         Statistics* statistics, float* running_mean, float* running_var) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= s.channels) return;
  double count = 0, mean = 0, m2 = 0;
  for (int shard = 0; shard < s.shards; ++shard) {
    const BatchNormPartial part = partials[shard * s.channels + c];
    const int left = s.samples - shard * s.shard_samples;
    const int samples = left < s.shard_samples ? left : s.shard_samples;
    const double part_count = static_cast<double>(samples) * s.pixels;
    const double delta = static_cast<double>(part.shift) + static_cast<double>(part.mean) - mean;
    const double total = count + part_count;
    mean += delta * part_count / total;
    m2 += static_cast<double>(part.m2) + delta * delta * count * part_count / total;
    count = total;
  }
  const double var = m2 / count;
  const auto shift = static_cast<float>(mean);
  statistics[c] = {shift, static_cast<float>(mean - static_cast<double>(shift)),
                   static_cast<float>(1.0 / sqrt(var + static_cast<double>(kEpsilon)))};
  const auto momentum = static_cast<double>(kRunningMomentum);
  running_mean[c] =
      static_cast<float>((1 - momentum) * static_cast<double>(running_mean[c]) + momentum * mean);
  running_var[c] = static_cast<float>((1 - momentum) * static_cast<double>(running_var[c]) +
                                      momentum * (m2 / (count - 1)));
}

__global__ void batch_norm_running_kernel(const float* mean, const float* var, int channels,
                                          Statistics* statistics) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= channels) return;
  statistics[c] = {
      mean[c], 0.0F,
      static_cast<float>(1.0 / sqrt(static_cast<double>(var[c]) + static_cast<double>(kEpsilon)))};
}

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
    return relu && !(affine(t, scale[k], beta[k]) > 0.0F) ? 0.0F : dy;
  }
};

/// Bytes: x in, y out; 90 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads, 2)
    batch_norm_forward_kernel(ChannelShape s, bool relu, const T* __restrict__ x,
                              const Statistics* __restrict__ statistics, const float* __restrict__ gamma,
                              const float* __restrict__ beta, T* __restrict__ y) {
  constexpr int kChannels = kWidth<T>;
  const ChannelThread<kChannels> my(s);
  if (!my.works) return;
  const ChannelCoefficients<kChannels> of(s, my.channel, statistics, gamma, beta);
  for_pixels(
      my.begin + my.row, my.end, s.walk.rows, [&](int p) { return load_raw(x + my.at(s, p)); },
      [&](int p, Raw raw) {
        float v[kChannels];
        widen(raw, v);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) {
          v[k] = affine(of.centered(v[k], k), of.scale[k], of.beta[k]);
          if (relu) v[k] = v[k] > 0.0F ? v[k] : (v[k] != v[k] ? v[k] : 0.0F);  // NaN stays
        }
        store_raw(y + my.at(s, p), narrow(v));
      });
}

/// x and dy of one pixel.
struct ChannelPair {
  Raw x, dy;
};

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
  float sum[kChannels] = {}, sum_t[kChannels] = {};
  if (my.works) {
    const ChannelCoefficients<kChannels> of(s, my.channel, statistics, gamma, beta);
    for_pixels(
        my.begin + my.row, my.end, s.walk.rows,
        [&](int p) {
          return ChannelPair{load_raw(x + my.at(s, p)), load_raw(dy + my.at(s, p))};
        },
        [&](int, const ChannelPair& raw) {
          float t[kChannels], dz[kChannels];
          widen(raw.x, t);
          widen(raw.dy, dz);
          NORMLAB_UNROLL
          for (int k = 0; k < kChannels; ++k) {
            t[k] = of.centered(t[k], k);
            dz[k] = of.before_activation(relu, t[k], dz[k], k);
            sum[k] += dz[k];
            sum_t[k] += dz[k] * t[k];
          }
        });
  }
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
        widen(raw.x, t);
        widen(raw.dy, dz);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) {
          t[k] = of.centered(t[k], k);
          dz[k] = of.before_activation(relu, t[k], dz[k], k);
          dz[k] = of.scale[k] * dz[k] - a[k] - b[k] * t[k];
        }
        store_raw(dx + my.at(s, p), narrow(dz));
      });
}

void CudaBackend::batch_norm_partial(Tensor x, BatchNormPartial* partial) {
  with_elements(x.type, [&](auto zero) {
    using T = decltype(zero);
    const ChannelShape s = channel_shape<T>(x);
    auto* moments = static_cast<StretchMoments*>(
        workspace(static_cast<std::size_t>(s.stretches) * static_cast<std::size_t>(s.channels) *
                  sizeof(StretchMoments)));
    launch(batch_norm_moments_kernel<T>, grid_of<T>(s), threads_of(s), shared_of<T>(s, 1), stream(), s,
           elements<T>(x), moments);
    launch(batch_norm_merge_kernel<T>, warp_blocks(s.channels), kMergeThreads, 0, stream(), s, elements<T>(x),
           moments, partial);
  });
}

void CudaBackend::batch_norm_reduce(const BatchNormReduce& args) {
  const ShardShape shape{args.shards, args.shard_samples, args.samples, args.x.pixels(), args.x.c};
  launch(batch_norm_reduce_kernel, thread_blocks(args.x.c), kMergeThreads, 0, stream(), shape, args.partials,
         args.statistics, args.running_mean, args.running_var);
}

void CudaBackend::batch_norm_running(const float* mean, const float* var, int c, Statistics* statistics) {
  launch(batch_norm_running_kernel, thread_blocks(c), kMergeThreads, 0, stream(), mean, var, c, statistics);
}

void CudaBackend::batch_norm_forward(const BatchNormArgs& args, Tensor y) {
  with_elements(y.type, [&](auto zero) {
    using T = decltype(zero);
    const ChannelShape s = channel_shape<T>(args.x);
    launch(batch_norm_forward_kernel<T>, grid_of<T>(s), threads_of(s), 0, stream(), s, args.relu,
           elements<T>(args.x), args.statistics, args.gamma, args.beta, elements<T>(y));
  });
}

void CudaBackend::batch_norm_gradient_partial(const BatchNormArgs& args, Tensor dy,
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

void CudaBackend::batch_norm_gradient_reduce(const BatchNormGradientReduce& args) {
  launch(batch_norm_gradient_reduce_kernel, thread_blocks(args.x.c), kMergeThreads, 0, stream(), args);
}

void CudaBackend::batch_norm_backward(const BatchNormArgs& args, const BatchNormGradientPartial* means,
                                      Tensor dy, Tensor dx) {
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
