#pragma once
// Kernels that treat each channel of a batch alike, and sums over all of a channel's values. A block takes a
// stretch of pixels (of all samples) and up to 32 vectors of channels; a thread keeps its channels, whose
// coefficients stay in registers, and goes from pixel to pixel. How many blocks there are, which is the order
// of addition, depends on the shape alone.

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"

namespace normlab::NORMLAB_PLATFORM {

inline constexpr int kChannelThreads = 256;
inline constexpr int kMostChannelVectors = 32;
/// Blocks that share the pixels of one channel: enough for any GPU, few enough to add up quickly.
inline constexpr int kMostStretches = 512;
/// Pixels that a thread should find worth its while.
inline constexpr int kPixelsPerThread = 16;

/// What all blocks of a launch share.
struct ChannelShape {
  int channels = 0, stride = 0;
  int pixels = 0;                  ///< of all samples
  int stretch = 0, stretches = 0;  ///< pixels of a block; blocks
  Walk walk;
};

/// A thread's place.
template <int kChannels>
struct ChannelThread {
  int first;    ///< the block's first channel
  int channel;  ///< the thread's
  int begin, end, row;
  bool works;

  __device__ explicit ChannelThread(const ChannelShape& s)
      : first(static_cast<int>(blockIdx.y) * s.walk.vectors * kChannels),
        channel(first + static_cast<int>(threadIdx.x) % s.walk.vectors * kChannels),
        begin(static_cast<int>(blockIdx.x) * s.stretch),
        end(begin + s.stretch < s.pixels ? begin + s.stretch : s.pixels),
        row(static_cast<int>(threadIdx.x) / s.walk.vectors),
        works(row < s.walk.rows && channel < s.stride) {}
  /// Of the thread's channels in pixel p.
  __device__ std::size_t at(const ChannelShape& s, int p) const {
    return static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride) +
           static_cast<std::size_t>(channel);
  }
};

template <typename T>
[[nodiscard]] ChannelShape channel_shape(const Tensor& x) {
  ChannelShape s;
  s.channels = x.shape.c;
  s.stride = padded(x.shape.c);
  const std::size_t pixels = static_cast<std::size_t>(x.shape.n) * static_cast<std::size_t>(x.shape.pixels());
  s.pixels = static_cast<int>(index_count(pixels * static_cast<std::size_t>(s.stride / kWidth<T>)) /
                              static_cast<unsigned>(s.stride / kWidth<T>));
  const int vectors = s.stride / kWidth<T>;
  s.walk =
      Walk::plan(vectors < kMostChannelVectors ? vectors : kMostChannelVectors, s.pixels, kChannelThreads);
  const int wanted = divide_up(s.pixels, s.walk.rows * kPixelsPerThread);
  s.stretch = divide_up(s.pixels, wanted < kMostStretches ? wanted : kMostStretches);
  s.stretches = divide_up(s.pixels, s.stretch);
  return s;
}

template <typename T>
[[nodiscard]] dim3 grid_of(const ChannelShape& s) {
  return {static_cast<unsigned>(s.stretches),
          static_cast<unsigned>(divide_up(s.stride / kWidth<T>, s.walk.vectors))};
}

/// Of sum_rows(), with `sums` results kept.
template <typename T, typename Sum = float>
[[nodiscard]] std::size_t shared_of(const ChannelShape& s, int sums) {
  return static_cast<std::size_t>(s.walk.scratch(kWidth<T>) + sums * s.walk.vectors * kWidth<T>) *
         sizeof(Sum);
}

[[nodiscard]] inline unsigned threads_of(const ChannelShape& s) {
  return static_cast<unsigned>(s.walk.threads());
}

/// Threads of the small kernels that merge stretches, and the blocks of a warp or a thread for each channel.
inline constexpr unsigned kMergeThreads = 128;
[[nodiscard]] inline unsigned warp_blocks(int channels) {
  return blocks_for(static_cast<std::size_t>(channels) * kWarp, kMergeThreads);
}
[[nodiscard]] inline unsigned thread_blocks(int channels) {
  return blocks_for(static_cast<std::size_t>(channels), kMergeThreads);
}

}  // namespace normlab::NORMLAB_PLATFORM
