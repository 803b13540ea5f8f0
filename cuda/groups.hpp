#pragma once
// How blocks and threads share the groups of a normalization, and what forward (group_norm.cu) and backward
// (group_norm_backward.cu) have in common.
//
// A block takes one sample and a slab of channels: whole groups and whole vectors of 16 bytes, 64 bytes of a
// pixel or more where the map leaves the choice. A thread keeps its channels, whose coefficients stay in
// registers, and goes from pixel to pixel. Two plans:
//   whole   the slab's values of all pixels fit into shared memory: they are read once, and every further
//   pass is over
//           that copy, each thread over what it wrote itself;
//   parts   they do not (layer norm on large maps): blocks take stretches of the pixels, one kernel leaves
//   what each
//           adds to its group's sums, a second merges these in double, in order, and computes the rest. What
//           it reads again comes from the L2 cache as far as that reaches (50 MB on an H200).
// The plan follows from the shape alone, and so does the order of every sum.

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"
#include "layers/kernels/group_norm.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// What all blocks of a launch share.
struct GroupShape {
  int channels = 0, stride = 0;  ///< stride: channels from one pixel to the next
  int pixels = 0;
  int groups = 0, size = 0;    ///< size: channels of a group
  int slab = 0;                ///< channels of a block
  int stretch = 0, parts = 1;  ///< pixels of a block; blocks that share a slab
  bool centered = true, relu = false;
  Walk walk;
};

/// A thread takes more than one vector of a pixel's channels never: a slab of 512 vectors is the widest.
inline constexpr int kMostGroupThreads = 512;
/// Threads of a block where a slab is not wider. Registers allow two such blocks on an SM.
inline constexpr int kGroupThreads = 256;
/// Blocks on an SM, and the shared memory that they find there from Hopper on (228 KiB; on an A100, with 164
/// KiB, one block with the largest copy). While one loads, the other computes and stores.
inline constexpr int kGroupBlocks = 2;
inline constexpr int kSharedOfSm = 228 * 1024;
/// Of x (and dy) in shared memory, for a block that keeps a slab whole.
inline constexpr int kMostCopyBytes = 100 * 1024;
/// Of x, for a block that has a part of a slab: enough to keep memory busy, little enough for many blocks.
inline constexpr int kPartBytes = 32 * 1024;
static_assert(kGroupBlocks * (kMostCopyBytes + 12 * 1024 + 1024) <= kSharedOfSm,
              "copy, scratch of 256 threads and what the driver reserves");

/// A thread's place: its channels and its pixels.
template <int kChannels>
struct GroupThread {
  int v, row;
  int channel;     ///< its first
  int begin, end;  ///< the block's pixels
  bool works;
  std::size_t at;  ///< of its channels in pixel 0 of the sample

  __device__ explicit GroupThread(const GroupShape& s)
      : v(static_cast<int>(threadIdx.x) % s.walk.vectors),
        row(static_cast<int>(threadIdx.x) / s.walk.vectors),
        channel(static_cast<int>(blockIdx.x) * s.slab + v * kChannels),
        begin(static_cast<int>(blockIdx.z) * s.stretch),
        end(begin + s.stretch < s.pixels ? begin + s.stretch : s.pixels),
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
  /// Its place in the block's copy.
  __device__ int in_copy(const GroupShape& s, int p) const { return (p - begin) * s.walk.vectors + v; }
};

/// Whole groups of the block's slab.
__device__ inline int groups_of_block(const GroupShape& s) {
  const int left = (s.channels - static_cast<int>(blockIdx.x) * s.slab) / s.size, most = s.slab / s.size;
  return left < most ? left : most;
}

/// Where (sample, group) of the block's group g lies in arrays of all groups.
__device__ inline std::size_t group_index(const GroupShape& s, int g) {
  return static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(s.groups) +
         static_cast<std::size_t>(static_cast<int>(blockIdx.x) * s.slab / s.size + g);
}

/// totals[g] = the sum over the group's channels of weight(channel) sums[channel in the slab]; by one warp
/// for each group. All threads call it, and the totals may be read when it returns.
template <typename Weight>
__device__ inline void sum_groups(const GroupShape& s, const float* sums, Weight weight, float* totals) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int first = static_cast<int>(blockIdx.x) * s.slab, groups = groups_of_block(s);
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
      set<kElementwise>(
          k, c, statistics[sample * static_cast<unsigned>(s.groups) + static_cast<unsigned>(c / s.size)],
          gamma, offset);
    }
  }
  template <bool kElementwise>
  __device__ void set(int k, int c, const Statistics& of, const float* gamma, const float* offset) {
    shift[k] = of.shift;
    mean[k] = of.mean;
    scale[k] = kElementwise ? of.rstd : gamma[c] * of.rstd;
    beta[k] = kElementwise || offset == nullptr ? 0.0F : offset[c];
  }
  __device__ float centered(float x, int k) const { return (x - shift[k]) - mean[k]; }
};

/// The beta of element i, and zero where there is none.
__device__ inline float offset_of(const float* beta, std::size_t i) {
  return beta == nullptr ? 0.0F : beta[i];
}

/// The smallest multiple of `size` and of 8.
[[nodiscard]] inline int whole_slab(int size) {
  int slab = size;
  while (slab % 8 != 0) slab += size;
  return slab;
}

/// Dynamic shared memory of a block that keeps `copies` maps of its pixels (0: none) and `sums` sums for each
/// channel.
template <typename T>
[[nodiscard]] std::size_t shared_of(const GroupShape& s, int copies, int sums) {
  const int floats = s.walk.scratch(kWidth<T>) + sums * s.slab + 2 * (s.slab / s.size + 1);
  return static_cast<std::size_t>(copies) * static_cast<std::size_t>(s.stretch) *
             static_cast<std::size_t>(s.walk.vectors) * sizeof(Raw) +
         static_cast<std::size_t>(floats) * sizeof(float);
}

/// The plan for a pass that keeps `copies` maps: x, or x and dy. parts == 1: whole.
template <typename T>
[[nodiscard]] GroupShape plan_groups(const GroupNormSpec& spec, const Tensor& x, int copies,
                                     std::size_t shared_bytes) {
  constexpr int kWidePixel = 64, kWholeCopy = 32 * 1024, kElement = static_cast<int>(sizeof(T));
  spec.check(x.shape.c);
  GroupShape s;
  s.channels = x.shape.c;
  s.stride = padded(x.shape.c);
  s.pixels = x.shape.pixels();
  s.groups = spec.groups;
  s.size = x.shape.c / spec.groups;
  s.slab = whole_slab(s.size) < s.stride ? whole_slab(s.size) : s.stride;
  s.centered = spec.centered;
  s.relu = spec.relu;
  const auto copy_bytes = [&](int slab) {
    return static_cast<std::size_t>(copies) * static_cast<std::size_t>(s.pixels) *
           static_cast<std::size_t>(slab * kElement);
  };
  // Memory is read in sectors of 32 bytes, from rows of more: a wider slab where it costs no occupancy.
  while (s.slab * kElement < kWidePixel && 2 * s.slab <= s.stride && copy_bytes(2 * s.slab) <= kWholeCopy) {
    s.slab *= 2;
  }
  const int vectors = s.slab / kWidth<T>;
  if (vectors > kMostGroupThreads) {
    throw Error("a normalization group of {} channels; the GPU takes at most {} in {}", s.size,
                kMostGroupThreads * kWidth<T>, precision_name(x.type));
  }
  const auto walk = [&](int pixels) {  // four vectors for each thread, where there are as many
    const int wanted = vectors * pixels / 4;
    const int threads = wanted < 64 ? 64 : wanted > kGroupThreads ? kGroupThreads : wanted;
    return Walk::plan(vectors, pixels, threads > vectors ? threads : vectors);
  };
  s.stretch = s.pixels;
  s.walk = walk(s.stretch);
  if (copy_bytes(s.slab) <= kMostCopyBytes && shared_of<T>(s, copies, 2) <= shared_bytes) return s;
  s.stretch = kPartBytes / (s.slab * kElement) > 1 ? kPartBytes / (s.slab * kElement) : 1;
  s.parts = divide_up(s.pixels, s.stretch);
  s.walk = walk(s.stretch);
  return s;
}

[[nodiscard]] inline dim3 grid_of(const GroupShape& s, const Tensor& x) {
  return {static_cast<unsigned>(divide_up(s.channels, s.slab)), static_cast<unsigned>(x.shape.n),
          static_cast<unsigned>(s.parts)};
}

class CudaGroupNorm final : public CudaKernels<GroupNormKernels> {
 public:
  using CudaKernels::CudaKernels;
  void check(const GroupNormSpec& spec, Shape x, DataType type) const override;
  void forward(const GroupNormForward& args) override;
  void backward(const GroupNormBackward& args) override;
  void pack_elementwise(const float* values, Shape shape, DataType, float* packed) override;
  void unpack_elementwise(const float* packed, Shape shape, DataType, float* values) override;
};

}  // namespace normlab::NORMLAB_PLATFORM
