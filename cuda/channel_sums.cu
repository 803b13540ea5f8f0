// Sums over all samples and pixels of each channel: the gradient of a bias.

#include "cuda/channels.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Bytes: x in; 90 % of what memory delivers.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads, 2)
    channel_sums_kernel(ChannelShape s, const T* __restrict__ x, float* __restrict__ sums_out) {
  constexpr int kChannels = kWidth<T>;
  auto* scratch = dynamic_shared<float>();
  float* sums = scratch + s.walk.scratch(kChannels);
  const ChannelThread<kChannels> my(s);
  LongSums<kChannels> sum_of;
  if (my.works) {
    for_pixels(
        my.begin + my.row, my.end, s.walk.rows, [&](int p) { return load_raw(x + my.at(s, p)); },
        [&](int, Raw raw) {
          float v[kChannels];
          widen(raw, v);
          sum_of.next();
          NORMLAB_UNROLL
          for (int k = 0; k < kChannels; ++k) sum_of.add(k, v[k]);
        });
  }
  float sum[kChannels];
  sum_of.finish(sum);
  sum_rows(sum, s.walk, scratch, sums);
  if (my.row > 0 || !my.works) return;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.channel + k >= s.channels) continue;
    sums_out[static_cast<int>(blockIdx.x) * s.channels + my.channel + k] = sums[my.channel - my.first + k];
  }
}

/// A warp for each channel adds its stretches, in double.
__global__ void channel_sums_merge_kernel(ChannelShape s, const float* by_stretch, float* sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int c = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / kWarp);
  if (c >= s.channels) return;  // whole warps
  double sum = 0;
  for (int i = lane; i < s.stretches; i += kWarp) sum += static_cast<double>(by_stretch[i * s.channels + c]);
  sum = sum_lanes(sum);
  if (lane == 0) sums[c] += static_cast<float>(sum);
}

void CudaBackend::add_channel_sums(Tensor x, float* sums) {
  with_elements(x.type, [&](auto zero) {
    using T = decltype(zero);
    const ChannelShape s = channel_shape<T>(x);
    auto* by_stretch = static_cast<float*>(workspace(static_cast<std::size_t>(s.stretches) *
                                                     static_cast<std::size_t>(s.channels) * sizeof(float)));
    launch(channel_sums_kernel<T>, grid_of<T>(s), threads_of(s), shared_of<T>(s, 1), stream(), s,
           elements<T>(x), by_stretch);
    launch(channel_sums_merge_kernel, warp_blocks(s.channels), kMergeThreads, 0, stream(), s, by_stretch,
           sums);
  });
}

}  // namespace normlab::NORMLAB_PLATFORM
