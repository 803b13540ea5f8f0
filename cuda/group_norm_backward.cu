// Layer, group, instance and RMS norm on the way back: dx, and the gradients of gamma and beta in two steps,
// sums for each sample (and part of it) first, which a small kernel adds up in order. Formulas stand at
// GroupNormSpec, the plan of blocks in groups.hpp.

#include "cuda/groups.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Sums over a group of gamma dz and of gamma dz (x - mean), in one stretch of pixels.
struct GroupSums {
  float of_dz, of_dz_t;
};

/// x and dy of one pixel.
struct GroupPair {
  Raw x, dy;
};

/// What a thread of any of the kernels below reads.
template <typename T, bool kElementwise>
struct GroupGradient {
  static constexpr int kChannels = kWidth<T>;
  const GroupShape& s;
  const GroupThread<kChannels>& my;
  const T *x, *dy;
  const float *gamma, *beta;
  GroupCoefficients<kChannels> of{};

  __device__ std::size_t pixel(int p) const {
    return static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride);
  }
  __device__ GroupPair read(int p) const {
    return {load_raw(x + my.at + pixel(p)), load_raw(dy + my.at + pixel(p))};
  }
  /// t and dz of one pixel; with per-element gamma, gamma dz.
  __device__ void terms(int p, const GroupPair& raw, float (&t)[kChannels], float (&dz)[kChannels]) const {
    widen(raw.x, t);
    widen(raw.dy, dz);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      t[k] = of.centered(t[k], k);
      if constexpr (kElementwise) {
        const std::size_t i = pixel(p) + static_cast<std::size_t>(my.channel + k);
        if (s.relu) dz[k] = where_positive(affine(t[k] * of.scale[k], gamma[i], offset_of(beta, i)), dz[k]);
        dz[k] *= gamma[i];
      } else {
        if (s.relu) dz[k] = where_positive(affine(t[k], of.scale[k], of.beta[k]), dz[k]);
      }
    }
  }
  /// Adds one pixel to the thread's sums.
  __device__ void add(int p, const GroupPair& raw, float (&sum)[kChannels], float (&sum_t)[kChannels]) const {
    float t[kChannels], dz[kChannels];
    terms(p, raw, t, dz);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      sum[k] += dz[k];
      sum_t[k] += dz[k] * t[k];
    }
  }
  /// dx = scale dz - a - b t
  __device__ void write(int p, const GroupPair& raw, const float (&a)[kChannels], const float (&b)[kChannels],
                        T* dx) const {
    float t[kChannels], dz[kChannels];
    terms(p, raw, t, dz);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) dz[k] = of.scale[k] * dz[k] - a[k] - b[k] * t[k];
    store_raw(dx + my.at + pixel(p), narrow(dz));
  }
};

__device__ inline float rstd_of(const GroupShape& s, const Statistics* statistics, int c) {
  return statistics[blockIdx.y * static_cast<unsigned>(s.groups) + static_cast<unsigned>(c / s.size)].rstd;
}

/// What a block's pixels add to dgamma and dbeta: dgamma(row, c), dbeta(row, c), a row for each sample and
/// part.
__device__ inline void write_parameter_sums(const GroupShape& s, const float* sums, const float* sums_t,
                                            const Statistics* statistics, float* dgamma, float* dbeta) {
  const int first = static_cast<int>(blockIdx.x) * s.slab;
  const std::size_t row =
      static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(s.parts) + blockIdx.z;
  for (int c = static_cast<int>(threadIdx.x); c < s.slab && first + c < s.channels;
       c += static_cast<int>(blockDim.x)) {
    const std::size_t i = row * static_cast<std::size_t>(s.channels) + static_cast<std::size_t>(first + c);
    dgamma[i] = sums_t[c] * rstd_of(s, statistics, first + c);
    dbeta[i] = sums[c];
  }
}

/// The plan `whole`: dx, and for each sample and channel the sums of dz (x - mean) rstd and dz (not with
/// per-element gamma). Bytes: x and dy in, dx out; 75 % of what a copy reaches where two blocks fit onto an
/// SM.
template <typename T, bool kElementwise>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_backward_kernel(GroupShape s, const T* __restrict__ x,
                               const Statistics* __restrict__ statistics, const float* __restrict__ gamma,
                               const float* __restrict__ beta, const T* __restrict__ dy, T* __restrict__ dx,
                               float* __restrict__ dgamma, float* __restrict__ dbeta) {
  constexpr int kChannels = kWidth<T>;
  const int on_chip = s.stretch * s.walk.vectors;
  Raw* copy = dynamic_shared<Raw>();
  Raw* copy_dy = copy + on_chip;
  float* scratch = reinterpret_cast<float*>(copy_dy + on_chip);
  float* sums = scratch + s.walk.scratch(kChannels);
  float* sums_t = sums + s.slab;
  float* totals = sums_t + s.slab;
  float* totals_t = totals + s.slab / s.size + 1;
  const GroupThread<kChannels> my(s);
  GroupGradient<T, kElementwise> gradient{s, my, x, dy, gamma, beta};
  if (my.works) gradient.of.template read<kElementwise>(s, my.channel, blockIdx.y, statistics, gamma, beta);
  float sum[kChannels] = {}, sum_t[kChannels] = {};
  if (my.works) {
    for_pixels(
        my.row, s.pixels, s.walk.rows, [&](int p) { return gradient.read(p); },
        [&](int p, const GroupPair& raw) {
          copy[my.in_copy(s, p)] = raw.x;
          copy_dy[my.in_copy(s, p)] = raw.dy;
          gradient.add(p, raw, sum, sum_t);
        });
  }
  sum_rows(sum, s.walk, scratch, sums);
  sum_rows(sum_t, s.walk, scratch, sums_t);
  if constexpr (!kElementwise) write_parameter_sums(s, sums, sums_t, statistics, dgamma, dbeta);
  if (dx == nullptr) return;
  const auto weight = [&](int c) { return kElementwise ? 1.0F : gamma[c]; };
  sum_groups(s, sums, weight, totals);
  sum_groups(s, sums_t, weight, totals_t);
  if (!my.works) return;
  const float count = static_cast<float>(s.size) * static_cast<float>(s.pixels);
  float a[kChannels] = {}, b[kChannels] = {};
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.channel + k >= s.channels) continue;
    const int g = my.group(s, k);
    const float rstd = rstd_of(s, statistics, my.channel + k);
    a[k] = s.centered ? rstd * totals[g] / count : 0.0F;
    b[k] = rstd * rstd * rstd * totals_t[g] / count;
  }
  for (int p = my.row; p < s.pixels; p += s.walk.rows) {
    gradient.write(p, {copy[my.in_copy(s, p)], copy_dy[my.in_copy(s, p)]}, a, b, dx);
  }
}

/// The plan `parts`, first: the sums of one stretch, by group and, as above, by channel. Bytes: x and dy in;
/// 90 % of what memory delivers.
template <typename T, bool kElementwise>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_gradient_kernel(GroupShape s, const T* __restrict__ x,
                               const Statistics* __restrict__ statistics, const float* __restrict__ gamma,
                               const float* __restrict__ beta, const T* __restrict__ dy,
                               GroupSums* __restrict__ group_sums, float* __restrict__ dgamma,
                               float* __restrict__ dbeta) {
  constexpr int kChannels = kWidth<T>;
  auto* scratch = dynamic_shared<float>();
  float* sums = scratch + s.walk.scratch(kChannels);
  float* sums_t = sums + s.slab;
  float* totals = sums_t + s.slab;
  float* totals_t = totals + s.slab / s.size + 1;
  const GroupThread<kChannels> my(s);
  GroupGradient<T, kElementwise> gradient{s, my, x, dy, gamma, beta};
  float sum[kChannels] = {}, sum_t[kChannels] = {};
  if (my.works) {
    gradient.of.template read<kElementwise>(s, my.channel, blockIdx.y, statistics, gamma, beta);
    for_pixels(
        my.begin + my.row, my.end, s.walk.rows, [&](int p) { return gradient.read(p); },
        [&](int p, const GroupPair& raw) { gradient.add(p, raw, sum, sum_t); });
  }
  sum_rows(sum, s.walk, scratch, sums);
  sum_rows(sum_t, s.walk, scratch, sums_t);
  if constexpr (!kElementwise) write_parameter_sums(s, sums, sums_t, statistics, dgamma, dbeta);
  const auto weight = [&](int c) { return kElementwise ? 1.0F : gamma[c]; };
  sum_groups(s, sums, weight, totals);
  sum_groups(s, sums_t, weight, totals_t);
  const int groups = groups_of_block(s);
  for (int g = static_cast<int>(threadIdx.x); g < groups; g += static_cast<int>(blockDim.x)) {
    group_sums[group_index(s, g) * static_cast<std::size_t>(s.parts) + blockIdx.z] = {totals[g], totals_t[g]};
  }
}

/// The plan `parts`, second: a warp for each group adds its parts in double, then dx. Bytes: x and dy in, dx
/// out; with the kernel before, 55 % of what a copy reaches on maps beyond the L2 cache, 75 % below.
template <typename T, bool kElementwise>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_gradient_apply_kernel(GroupShape s, const T* __restrict__ x,
                                     const Statistics* __restrict__ statistics,
                                     const float* __restrict__ gamma, const float* __restrict__ beta,
                                     const T* __restrict__ dy, const GroupSums* __restrict__ group_sums,
                                     T* __restrict__ dx) {
  constexpr int kChannels = kWidth<T>;
  auto* means = dynamic_shared<GroupSums>();
  const GroupThread<kChannels> my(s);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const int groups = groups_of_block(s);
  for (int g = static_cast<int>(threadIdx.x) / kWarp; g < groups; g += warps) {
    const GroupSums* of_group = group_sums + group_index(s, g) * static_cast<std::size_t>(s.parts);
    double sum = 0, sum_t = 0;
    for (int i = lane; i < s.parts; i += kWarp) {
      sum += static_cast<double>(of_group[i].of_dz);
      sum_t += static_cast<double>(of_group[i].of_dz_t);
    }
    sum = sum_lanes(sum);
    sum_t = sum_lanes(sum_t);
    const double count = static_cast<double>(s.pixels) * s.size;
    if (lane == 0) means[g] = {static_cast<float>(sum / count), static_cast<float>(sum_t / count)};
  }
  __syncthreads();
  if (!my.works) return;
  GroupGradient<T, kElementwise> gradient{s, my, x, dy, gamma, beta};
  gradient.of.template read<kElementwise>(s, my.channel, blockIdx.y, statistics, gamma, beta);
  float a[kChannels] = {}, b[kChannels] = {};
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.channel + k >= s.channels) continue;
    const GroupSums mean = means[my.group(s, k)];
    const float rstd = rstd_of(s, statistics, my.channel + k);
    a[k] = s.centered ? rstd * mean.of_dz : 0.0F;
    b[k] = rstd * rstd * rstd * mean.of_dz_t;
  }
  for_pixels(
      my.begin + my.row, my.end, s.walk.rows, [&](int p) { return gradient.read(p); },
      [&](int p, const GroupPair& raw) { gradient.write(p, raw, a, b, dx); });
}

inline constexpr int kParameterThreads = 1024;
inline constexpr int kElementThreads = 256;

/// dgamma[c] += the sum over the rows of its column, in double, dbeta likewise; a block for 32 channels,
/// whose rows of threads take every 32nd row, in order.
__global__ void __launch_bounds__(kParameterThreads, 1)
    group_norm_parameter_kernel(const float* by_row, const float* by_row_beta, int rows, int channels,
                                float* dgamma, float* dbeta) {
  constexpr int kRows = kParameterThreads / kWarp;
  NORMLAB_SHARED(double, part, kParameterThreads);
  NORMLAB_SHARED(double, part_beta, kParameterThreads);
  const int thread = static_cast<int>(threadIdx.x), row = thread / kWarp;
  const int c = static_cast<int>(blockIdx.x) * kWarp + thread % kWarp;
  double sum = 0, sum_beta = 0;
  for_pixels(
      c < channels ? row : rows, rows, kRows,
      [&](int n) {
        const std::size_t i =
            static_cast<std::size_t>(n) * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c);
        return float2{by_row[i], by_row_beta[i]};
      },
      [&](int, float2 of) {
        sum += static_cast<double>(of.x);
        sum_beta += static_cast<double>(of.y);
      });
  part[thread] = sum;
  part_beta[thread] = sum_beta;
  __syncthreads();
  if (row > 0 || c >= channels) return;
  for (int i = 1; i < kRows; ++i) {
    sum += part[thread + i * kWarp];
    sum_beta += part_beta[thread + i * kWarp];
  }
  dgamma[c] += static_cast<float>(sum);
  if (dbeta != nullptr) dbeta[c] += static_cast<float>(sum_beta);
}

/// Per-element gamma and beta: a thread for one vector of (pixel, channels) goes through the samples, in
/// order. Bytes: x and dy in, once more; 60 % of what memory delivers.
template <typename T>
__global__ void __launch_bounds__(kElementThreads, 2)
    group_norm_elementwise_kernel(GroupShape s, int samples, const T* __restrict__ x,
                                  const Statistics* __restrict__ statistics, const float* __restrict__ gamma,
                                  const float* __restrict__ beta, const T* __restrict__ dy,
                                  float* __restrict__ dgamma, float* __restrict__ dbeta) {
  constexpr int kChannels = kWidth<T>;
  const std::size_t at =
      (static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x) * static_cast<std::size_t>(kChannels);
  const std::size_t sample = static_cast<std::size_t>(s.pixels) * static_cast<std::size_t>(s.stride);
  if (at >= sample) return;
  const int channel = static_cast<int>(at % static_cast<std::size_t>(s.stride));
  float g[kChannels], offset[kChannels];
  LongSums<kChannels> of_dgamma, of_dbeta;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    g[k] = gamma[at + static_cast<std::size_t>(k)];
    offset[k] = offset_of(beta, at + static_cast<std::size_t>(k));
  }
  for (int n = 0; n < samples; ++n) {
    float t[kChannels], dz[kChannels];
    const std::size_t i = static_cast<std::size_t>(n) * sample + at;
    widen(load_raw(x + i), t);
    widen(load_raw(dy + i), dz);
    GroupCoefficients<kChannels> of;
    of.template read<true>(s, channel, static_cast<unsigned>(n), statistics, gamma, beta);
    of_dgamma.next();
    of_dbeta.next();
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      const float normalized = of.centered(t[k], k) * of.scale[k];
      if (s.relu) dz[k] = where_positive(affine(normalized, g[k], offset[k]), dz[k]);
      of_dgamma.add(k, dz[k] * normalized);
      of_dbeta.add(k, dz[k]);
    }
  }
  float sum[kChannels], sum_beta[kChannels];
  of_dgamma.finish(sum);
  of_dbeta.finish(sum_beta);
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    dgamma[at + static_cast<std::size_t>(k)] += sum[k];
    if (dbeta != nullptr) dbeta[at + static_cast<std::size_t>(k)] += sum_beta[k];
  }
}

void CudaGroupNorm::backward(const GroupNormBackward& args) {
  const Shape& shape = args.x.shape;
  int rows = 0;
  float* dgamma = nullptr;
  float* dbeta = nullptr;
  with_elements(args.x.type, [&](auto zero) {
    using T = decltype(zero);
    const GroupShape s = plan_groups<T>(args.spec, args.x, 2, backend_.shared_bytes());
    const dim3 grid = grid_of(s, args.x);
    const auto threads = static_cast<unsigned>(s.walk.threads());
    rows = shape.n * s.parts;
    const auto sums = static_cast<std::size_t>(rows) * static_cast<std::size_t>(shape.c);
    const std::size_t parts = static_cast<std::size_t>(rows) * static_cast<std::size_t>(s.groups);
    dgamma = static_cast<float*>(workspace(2 * sums * sizeof(float) + parts * sizeof(GroupSums)));
    dbeta = dgamma + sums;
    auto* group_sums = reinterpret_cast<GroupSums*>(dbeta + sums);
    with_flag(args.spec.elementwise, [&](auto elementwise) {
      if (s.parts == 1) {
        launch(group_norm_backward_kernel<T, elementwise.value>, grid, threads, shared_of<T>(s, 2, 2),
               stream(), s, elements<T>(args.x), args.statistics, args.gamma, args.beta, elements<T>(args.dy),
               elements<T>(args.dx), dgamma, dbeta);
        return;
      }
      launch(group_norm_gradient_kernel<T, elementwise.value>, grid, threads, shared_of<T>(s, 0, 2), stream(),
             s, elements<T>(args.x), args.statistics, args.gamma, args.beta, elements<T>(args.dy), group_sums,
             dgamma, dbeta);
      if (args.dx.empty()) return;
      launch(group_norm_gradient_apply_kernel<T, elementwise.value>, grid, threads,
             static_cast<std::size_t>(s.slab / s.size + 1) * sizeof(GroupSums), stream(), s,
             elements<T>(args.x), args.statistics, args.gamma, args.beta, elements<T>(args.dy), group_sums,
             elements<T>(args.dx));
    });
    if (args.spec.elementwise) {
      const std::size_t count = backend_.bytes(shape.with_n(1), args.x.type, Layout::native) / sizeof(Raw);
      launch(group_norm_elementwise_kernel<T>, blocks_for(count, kElementThreads), kElementThreads, 0,
             stream(), s, shape.n, elements<T>(args.x), args.statistics, args.gamma, args.beta,
             elements<T>(args.dy), args.dgamma, args.dbeta);
    }
  });
  if (args.spec.elementwise) return;
  launch(group_norm_parameter_kernel, static_cast<unsigned>(divide_up(shape.c, kWarp)), kParameterThreads, 0,
         stream(), dgamma, dbeta, rows, shape.c, args.dgamma, args.dbeta);
}

}  // namespace normlab::NORMLAB_PLATFORM
