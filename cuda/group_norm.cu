// Layer, group, instance and RMS norm forward, with fused ReLU; formulas stand at GroupNormSpec, the plan of
// blocks in groups.hpp, the way back in group_norm_backward.cu.
//
// Mean, squares and the map itself are three passes over the copy on the chip. The mean is found from x less
// the group's first value; the pass for the squares also adds up by how much that was off (Chan, Golub and
// LeVeque 1983), so it does not matter what the first value was. Sums are fp32 in a fixed order, parts of a
// group are merged in double.

#include "cuda/groups.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// A group's part in one stretch of pixels; its mean is shift + mean.
struct GroupMoments {
  float shift, mean, m2;
};

/// shift + mean, to the last digit, as another such sum, whose shift is the nearest float (Knuth's two-sum).
__device__ inline void recentre(float* shift, float* mean) {
  const float sum = *shift + *mean, part = sum - *shift;
  *mean = (*shift - (sum - part)) + (*mean - part);
  *shift = sum;
}

/// What the blocks of a group's stretch find: shift and mean of each of the thread's channels, and in
/// `squares` the sum of squares around the mean, by group. x is read once, into `copy`. All threads call it.
template <typename T>
__device__ inline void stretch_moments(const GroupShape& s, const GroupThread<kWidth<T>>& my,
                                       const T* __restrict__ x, Raw* copy, float* scratch, float* sums,
                                       float* totals, float* squares, float (&shift)[kWidth<T>],
                                       float (&mean)[kWidth<T>]) {
  constexpr int kChannels = kWidth<T>;
  const float count = static_cast<float>(s.size) * static_cast<float>(my.end - my.begin);
  float sum[kChannels] = {};
  if (s.centered && my.works) {
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      const int c = my.channel + k;  // padding is not shifted: it stays zero
      if (c < s.channels) shift[k] = to_float(x[my.at + static_cast<std::size_t>(k) - c % s.size]);
    }
  }
  if (my.works) {
    for_pixels(
        my.begin + my.row, my.end, s.walk.rows,
        [&](int p) {
          return load_raw(x + my.at + static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride));
        },
        [&](int p, Raw raw) {
          copy[my.in_copy(s, p)] = raw;
          float v[kChannels];
          widen(raw, v);
          NORMLAB_UNROLL
          for (int k = 0; k < kChannels; ++k) sum[k] += v[k] - shift[k];
        });
  }
  const auto one = [](int) { return 1.0F; };
  if (s.centered) {
    sum_rows(sum, s.walk, scratch, sums);
    sum_groups(s, sums, one, totals);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      if (!my.works || my.channel + k >= s.channels) continue;
      mean[k] = totals[my.group(s, k)] / count;
      recentre(&shift[k], &mean[k]);
    }
  }
  float sum_squares[kChannels] = {};
  NORMLAB_UNROLL
  for (float& value : sum) value = 0;
  if (my.works) {
    for (int p = my.begin + my.row; p < my.end; p += s.walk.rows) {
      float v[kChannels];
      widen(copy[my.in_copy(s, p)], v);
      NORMLAB_UNROLL
      for (int k = 0; k < kChannels; ++k) {
        const float t = (v[k] - shift[k]) - mean[k];
        sum[k] += t;
        sum_squares[k] += t * t;
      }
    }
  }
  sum_rows(sum_squares, s.walk, scratch, sums);
  sum_groups(s, sums, one, squares);
  if (!s.centered) return;
  __syncthreads();  // all have read the totals of the first pass
  sum_rows(sum, s.walk, scratch, sums);
  sum_groups(s, sums, one, totals);
  const int groups = groups_of_block(s);
  for (int g = static_cast<int>(threadIdx.x); g < groups; g += static_cast<int>(blockDim.x)) {
    squares[g] -= totals[g] * totals[g] / count;
  }
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.works && my.channel + k < s.channels) mean[k] += totals[my.group(s, k)] / count;
  }
  __syncthreads();
}

/// y of one pixel's channels, from x.
template <typename T, bool kElementwise>
__device__ inline void normalize(const GroupShape& s, const GroupThread<kWidth<T>>& my,
                                 const GroupCoefficients<kWidth<T>>& of, const float* __restrict__ gamma,
                                 const float* __restrict__ beta, int p, Raw raw, T* __restrict__ y) {
  constexpr int kChannels = kWidth<T>;
  const std::size_t pixel = static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride);
  float v[kChannels];
  widen(raw, v);
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const float t = of.centered(v[k], k);
    if constexpr (kElementwise) {
      const std::size_t i = pixel + static_cast<std::size_t>(my.channel + k);
      v[k] = affine(t * of.scale[k], gamma[i], offset_of(beta, i));
    } else {
      v[k] = affine(t, of.scale[k], of.beta[k]);
    }
    if (s.relu) v[k] = positive(v[k]);
  }
  store_raw(y + my.at + pixel, narrow(v));
}

/// The plan `whole`. Bytes: x in, y out; 88 % of what a copy reaches where two blocks fit onto an SM.
template <typename T, bool kElementwise>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_forward_kernel(GroupShape s, const T* __restrict__ x, const float* __restrict__ gamma,
                              const float* __restrict__ beta, T* __restrict__ y,
                              Statistics* __restrict__ statistics) {
  constexpr int kChannels = kWidth<T>;
  Raw* copy = dynamic_shared<Raw>();
  float* scratch = reinterpret_cast<float*>(copy + s.stretch * s.walk.vectors);
  float* sums = scratch + s.walk.scratch(kChannels);
  float* totals = sums + s.slab;
  float* squares = totals + s.slab / s.size + 1;
  const GroupThread<kChannels> my(s);
  float shift[kChannels] = {}, mean[kChannels] = {};
  stretch_moments(s, my, x, copy, scratch, sums, totals, squares, shift, mean);
  if (!my.works) return;
  const float count = static_cast<float>(s.size) * static_cast<float>(s.pixels);
  GroupCoefficients<kChannels> of;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const int c = my.channel + k;
    if (c >= s.channels) continue;
    const int g = my.group(s, k);
    const Statistics found{shift[k], mean[k], 1.0F / sqrtf(squares[g] / count + kEpsilon)};
    of.template set<kElementwise>(k, c, found, gamma, beta);
    if (my.row == 0 && c % s.size == 0) statistics[group_index(s, g)] = found;
  }
  for (int p = my.row; p < s.pixels; p += s.walk.rows) {
    normalize<T, kElementwise>(s, my, of, gamma, beta, p, copy[my.in_copy(s, p)], y);
  }
}

/// The plan `parts`, first: moments(sample, group, part). Bytes: x in, few of it twice; 90 % of what memory
/// delivers.
template <typename T>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_moments_kernel(GroupShape s, const T* __restrict__ x, GroupMoments* __restrict__ moments) {
  constexpr int kChannels = kWidth<T>;
  Raw* copy = dynamic_shared<Raw>();
  float* scratch = reinterpret_cast<float*>(copy + s.stretch * s.walk.vectors);
  float* sums = scratch + s.walk.scratch(kChannels);
  float* totals = sums + s.slab;
  float* squares = totals + s.slab / s.size + 1;
  const GroupThread<kChannels> my(s);
  float shift[kChannels] = {}, mean[kChannels] = {};
  stretch_moments(s, my, x, copy, scratch, sums, totals, squares, shift, mean);
  if (!my.works || my.row > 0) return;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const int c = my.channel + k;
    if (c >= s.channels || c % s.size != 0) continue;
    const int g = my.group(s, k);
    moments[group_index(s, g) * static_cast<std::size_t>(s.parts) + blockIdx.z] = {shift[k], mean[k],
                                                                                   squares[g]};
  }
}

/// The plan `parts`, second: a warp for each group merges its parts (Chan, Golub and LeVeque 1979), then the
/// map. Blocks begin with the pixels that were read last. Bytes: x in, y out; with the kernel before, 60 % of
/// what a copy reaches on maps beyond the L2 cache, 85 % below.
template <typename T, bool kElementwise>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_apply_kernel(GroupShape s, const T* __restrict__ x, const GroupMoments* __restrict__ moments,
                            const float* __restrict__ gamma, const float* __restrict__ beta,
                            T* __restrict__ y, Statistics* __restrict__ statistics) {
  constexpr int kChannels = kWidth<T>;
  auto* merged = dynamic_shared<Statistics>();
  const GroupThread<kChannels> my(s);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int groups = groups_of_block(s);
  for (int g = static_cast<int>(threadIdx.x) / kWarp; g < groups; g += warps) {
    const GroupMoments* of_group = moments + group_index(s, g) * static_cast<std::size_t>(s.parts);
    const auto count_of = [&](int part) {
      const int left = s.pixels - part * s.stretch;
      return static_cast<double>(left < s.stretch ? left : s.stretch) * s.size;
    };
    const auto mean_of = [&](int part) {
      return static_cast<double>(of_group[part].shift) + static_cast<double>(of_group[part].mean);
    };
    const double count = static_cast<double>(s.pixels) * s.size;
    double mean = 0, m2 = 0;
    for (int i = lane; i < s.parts; i += kWarp) mean += count_of(i) * mean_of(i);
    mean = sum_lanes(mean) / count;
    for (int i = lane; i < s.parts; i += kWarp) {
      const double delta = mean_of(i) - mean;
      m2 += static_cast<double>(of_group[i].m2) + count_of(i) * delta * delta;
    }
    m2 = sum_lanes(m2);
    if (lane > 0) continue;
    split_mean(mean, &merged[g].shift, &merged[g].mean);
    merged[g].rstd = static_cast<float>(1.0 / sqrt(m2 / count + static_cast<double>(kEpsilon)));
    if (blockIdx.z == 0) statistics[group_index(s, g)] = merged[g];
  }
  __syncthreads();
  if (!my.works) return;
  GroupCoefficients<kChannels> of;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const int c = my.channel + k;
    if (c < s.channels) of.template set<kElementwise>(k, c, merged[my.group(s, k)], gamma, beta);
  }
  for_pixels(
      my.begin + my.row, my.end, s.walk.rows,
      [&](int p) {
        return load_raw(x + my.at + static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride));
      },
      [&](int p, Raw raw) { normalize<T, kElementwise>(s, my, of, gamma, beta, p, raw, y); });
}

void CudaGroupNorm::check(const GroupNormSpec& spec, Shape x, DataType type) const {
  with_elements(type, [&](auto zero) {
    (void)plan_groups<decltype(zero)>(spec, Tensor{nullptr, x, type}, 1, backend_.shared_bytes());
  });
}

void CudaGroupNorm::forward(const GroupNormForward& args) {
  with_elements(args.x.type, [&](auto zero) {
    using T = decltype(zero);
    const GroupShape s = plan_groups<T>(args.spec, args.x, 1, backend_.shared_bytes());
    const dim3 grid = grid_of(s, args.x);
    const auto threads = static_cast<unsigned>(s.walk.threads());
    const std::size_t shared = shared_of<T>(s, 1, 1);
    with_flag(args.spec.elementwise, [&](auto elementwise) {
      if (s.parts == 1) {
        launch(group_norm_forward_kernel<T, elementwise.value>, grid, threads, shared, stream(), s,
               elements<T>(args.x), args.gamma, args.beta, elements<T>(args.y), args.statistics);
        return;
      }
      auto* moments = static_cast<GroupMoments*>(
          workspace(static_cast<std::size_t>(args.x.shape.n) * static_cast<std::size_t>(s.groups) *
                    static_cast<std::size_t>(s.parts) * sizeof(GroupMoments)));
      launch(group_norm_moments_kernel<T>, grid, threads, shared, stream(), s, elements<T>(args.x), moments);
      launch(group_norm_apply_kernel<T, elementwise.value>, grid, threads,
             static_cast<std::size_t>(s.slab / s.size + 1) * sizeof(Statistics), stream(), s,
             elements<T>(args.x), moments, args.gamma, args.beta, elements<T>(args.y), args.statistics);
    });
  });
}

void CudaGroupNorm::pack_elementwise(const float* values, Shape shape, DataType, float* packed) {
  to_native(backend_, values, {reinterpret_cast<std::byte*>(packed), shape.with_n(1)});
}

void CudaGroupNorm::unpack_elementwise(const float* packed, Shape shape, DataType, float* values) {
  // A view to read from: the bytes stay as they are.
  auto* data = reinterpret_cast<std::byte*>(const_cast<float*>(packed));
  from_native(backend_, {data, shape.with_n(1)}, values);
}

template <>
std::unique_ptr<GroupNormKernels> make_cuda_kernels<GroupNormKernels>(CudaBackend& backend) {
  return std::make_unique<CudaGroupNorm>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
