// Batch norm forward, in the parts of BatchNormKernels. A shard here is a whole batch of many pixels,
// so a partial sum is itself made in two steps: each block adds up a stretch of pixels, and a second small
// kernel adds the blocks in double, in order (see channels.hpp). A channel's values of a whole batch fit in
// no chip's memory, so x is read twice: for its moments, and to be normalized.

#include "cuda/batch_norm.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// A channel's part in one stretch; its mean is shift + mean.
struct StretchMoments {
  float shift, mean, m2;
};

/// The middle one of three: a value of x's own size, whatever one outlier does.
__device__ inline float median(float a, float b, float c) {
  const float low = a < b ? a : b, high = a < b ? b : a;
  return c < low ? low : c > high ? high : c;
}

/// moments(stretch, channel). A thread reads four pixels together and adds up, in fp32, their values less a
/// shift and the squares around their own mean; such sums are added in double. Bytes: x in; 90 % of what
/// memory delivers.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads, 2)
    batch_norm_moments_kernel(ChannelShape s, const T* __restrict__ x, StretchMoments* __restrict__ moments) {
  constexpr int kChannels = kWidth<T>, kTogether = 4;
  auto* scratch = dynamic_shared<double>();
  double* sums = scratch + s.walk.scratch(kChannels);
  const ChannelThread<kChannels> my(s);
  float shift[kChannels] = {};
  double sum[kChannels] = {}, squares[kChannels] = {};  // of x - shift
  float seen = 0;
  if (my.works) {
    for (int p = my.begin + my.row; p < my.end; p += kTogether * s.walk.rows) {
      Raw raw[kTogether] = {};
      float here = 0;
      NORMLAB_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        const int pixel = p + i * s.walk.rows;
        raw[i] = pixel < my.end ? load_raw(x + my.at(s, pixel)) : raw[0];
        here += pixel < my.end ? 1.0F : 0.0F;
      }
      if (seen == 0.0F) {
        float second[kChannels], third[kChannels];
        widen(raw[0], shift);
        widen(raw[1], second);
        widen(raw[2], third);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) shift[k] = median(shift[k], second[k], third[k]);
      }
      float part[kChannels] = {}, around[kChannels] = {}, v[kChannels];
      NORMLAB_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        if (p + i * s.walk.rows >= my.end) continue;
        widen(raw[i], v);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) part[k] += v[k] - shift[k];
      }
      const float share = 1.0F / here;
      NORMLAB_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        if (p + i * s.walk.rows >= my.end) continue;
        widen(raw[i], v);
        NORMLAB_UNROLL
        for (int k = 0; k < kChannels; ++k) {
          const float t = (v[k] - shift[k]) - part[k] * share;
          around[k] += t * t;
        }
      }
      NORMLAB_UNROLL
      for (int k = 0; k < kChannels; ++k) {
        const auto of_part = static_cast<double>(part[k]);
        sum[k] += of_part;
        squares[k] += static_cast<double>(around[k]) + of_part * of_part / static_cast<double>(here);
      }
      seen += here;
    }
  }
  // The block's mean, and the squares around it.
  const double count = my.end - my.begin, mine = static_cast<double>(seen);
  double part[kChannels];
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) part[k] = sum[k] + mine * static_cast<double>(shift[k]);
  sum_rows(part, s.walk, scratch, sums);
  double mean[kChannels];
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    mean[k] = sums[my.channel - my.first + k] / count;
    const double off = static_cast<double>(shift[k]) - mean[k];
    part[k] = squares[k] + off * (2 * sum[k] + mine * off);
  }
  sum_rows(part, s.walk, scratch, sums);
  if (my.row > 0 || !my.works) return;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.channel + k >= s.channels) continue;
    StretchMoments& to = moments[static_cast<int>(blockIdx.x) * s.channels + my.channel + k];
    split_mean(mean[k], &to.shift, &to.mean);
    to.m2 = static_cast<float>(sums[my.channel - my.first + k]);
  }
}

/// A warp for each channel merges its stretches, in double. Bytes: few.
__global__ void batch_norm_merge_kernel(ChannelShape s, const StretchMoments* moments,
                                        BatchNormPartial* partial) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int c = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / kWarp);
  if (c >= s.channels) return;  // whole warps
  const auto count_of = [&](int i) {
    const int left = s.pixels - i * s.stretch;
    return static_cast<double>(left < s.stretch ? left : s.stretch);
  };
  const auto mean_of = [&](int i) {
    const StretchMoments& part = moments[i * s.channels + c];
    return static_cast<double>(part.shift) + static_cast<double>(part.mean);
  };
  double mean = 0, m2 = 0;
  for (int i = lane; i < s.stretches; i += kWarp) mean += count_of(i) * mean_of(i);
  mean = sum_lanes(mean) / s.pixels;
  for (int i = lane; i < s.stretches; i += kWarp) {
    const double delta = mean_of(i) - mean;
    m2 += static_cast<double>(moments[i * s.channels + c].m2) + count_of(i) * delta * delta;
  }
  m2 = sum_lanes(m2);
  if (lane > 0) return;
  split_mean(mean, &partial[c].shift, &partial[c].mean);
  partial[c].m2 = static_cast<float>(m2);
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
  split_mean(mean, &statistics[c].shift, &statistics[c].mean);
  statistics[c].rstd = static_cast<float>(1.0 / sqrt(var + static_cast<double>(kEpsilon)));
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
          if (relu) v[k] = positive(v[k]);
        }
        store_raw(y + my.at(s, p), narrow(v));
      });
}

void CudaBatchNorm::partial(Tensor x, BatchNormPartial* partial) {
  with_elements(x.type, [&](auto zero) {
    using T = decltype(zero);
    const ChannelShape s = channel_shape<T>(x);
    auto* moments = static_cast<StretchMoments*>(
        workspace(static_cast<std::size_t>(s.stretches) * static_cast<std::size_t>(s.channels) *
                  sizeof(StretchMoments)));
    launch(batch_norm_moments_kernel<T>, grid_of<T>(s), threads_of(s), shared_of<T, double>(s, 1), stream(),
           s, elements<T>(x), moments);
    launch(batch_norm_merge_kernel, warp_blocks(s.channels), kMergeThreads, 0, stream(), s, moments, partial);
  });
}

void CudaBatchNorm::reduce(const BatchNormReduce& args) {
  const ShardShape shape{args.shards, args.shard_samples, args.samples, args.x.pixels(), args.x.c};
  launch(batch_norm_reduce_kernel, thread_blocks(args.x.c), kMergeThreads, 0, stream(), shape, args.partials,
         args.statistics, args.running_mean, args.running_var);
}

void CudaBatchNorm::running(const float* mean, const float* var, int c, Statistics* statistics) {
  launch(batch_norm_running_kernel, thread_blocks(c), kMergeThreads, 0, stream(), mean, var, c, statistics);
}

void CudaBatchNorm::forward(const BatchNormArgs& args, Tensor y) {
  with_elements(y.type, [&](auto zero) {
    using T = decltype(zero);
    const ChannelShape s = channel_shape<T>(args.x);
    launch(batch_norm_forward_kernel<T>, grid_of<T>(s), threads_of(s), 0, stream(), s, args.relu,
           elements<T>(args.x), args.statistics, args.gamma, args.beta, elements<T>(y));
  });
}

template <>
std::unique_ptr<BatchNormKernels> make_cuda_kernels<BatchNormKernels>(CudaBackend& backend) {
  return std::make_unique<CudaBatchNorm>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
