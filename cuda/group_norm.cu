// Layer, group, instance and RMS norm, forward and backward, with fused ReLU; formulas stand at
// GroupNormSpec.
//
// A block takes one sample and a slab of channels: whole groups and whole vectors of 16 bytes. A thread keeps
// its channels, whose coefficients stay in registers, and goes from pixel to pixel. The slab's values are
// read once and kept in shared memory as they are stored; mean, squares and the map itself are three passes
// over that copy, each thread over what it wrote itself. A slab that does not fit is read again for each
// pass: it was read a moment ago and comes from the L2 cache while 132 of them fit there (50 MB on an H200).
//
// Statistics are shifted by the group's first value, sums are fp32 in a fixed order.

#include "cuda/groups.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Bytes: x in, y out; 85 % of what a copy reaches where a slab fits twice into an SM's shared memory.
template <typename T, bool kOnChip, bool kElementwise>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_forward_kernel(GroupShape s, const T* __restrict__ x, const float* __restrict__ gamma,
                              const float* __restrict__ beta, T* __restrict__ y,
                              Statistics* __restrict__ statistics) {
  constexpr int kChannels = kWidth<T>;
  Raw* copy = dynamic_shared<Raw>();
  float* scratch = reinterpret_cast<float*>(copy + (kOnChip ? s.pixels * s.walk.vectors : 0));
  float* sums = scratch + s.walk.scratch(kChannels);
  float* totals = sums + s.slab;
  float* squares = totals + kMostSlabGroups;
  const GroupThread<kChannels> my(s);
  const T* from = x + my.at;
  const float count = static_cast<float>(s.size) * static_cast<float>(s.pixels);
  const auto read = [&](int p) {
    return load_raw(from + static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride));
  };
  const auto read_again = [&](int p) {
    if constexpr (kOnChip) {
      return copy[p * s.walk.vectors + my.v];
    } else {
      return read(p);
    }
  };

  float shift[kChannels] = {}, mean[kChannels] = {}, sum[kChannels] = {};
  if (s.centered && my.works) {
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      const int c = my.channel + k;  // padding is not shifted: it stays zero
      if (c < s.channels) shift[k] = to_float(x[my.at + static_cast<std::size_t>(k) - c % s.size]);
    }
  }
  if (my.works) {
    for_pixels(my.row, s.pixels, s.walk.rows, read, [&](int p, Raw raw) {
      if constexpr (kOnChip) copy[p * s.walk.vectors + my.v] = raw;
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
      mean[k] = my.works && my.channel + k < s.channels ? totals[my.group(s, k)] / count : 0.0F;
    }
  }

  NORMLAB_UNROLL
  for (float& value : sum) value = 0;
  if (my.works) {
    for_pixels(my.row, s.pixels, s.walk.rows, read_again, [&](int, Raw raw) {
      float v[kChannels];
      widen(raw, v);
      NORMLAB_UNROLL
      for (int k = 0; k < kChannels; ++k) {
        const float t = (v[k] - shift[k]) - mean[k];
        sum[k] += t * t;
      }
    });
  }
  sum_rows(sum, s.walk, scratch, sums);
  sum_groups(s, sums, one, squares);

  float scale[kChannels] = {}, offset[kChannels] = {};
  if (!my.works) return;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const int c = my.channel + k;
    if (c >= s.channels) continue;
    const float rstd = 1.0F / sqrtf(squares[my.group(s, k)] / count + kEpsilon);
    scale[k] = kElementwise ? rstd : gamma[c] * rstd;
    offset[k] = kElementwise || beta == nullptr ? 0.0F : beta[c];
    if (my.row == 0 && c % s.size == 0) {
      statistics[blockIdx.y * static_cast<unsigned>(s.groups) + static_cast<unsigned>(c / s.size)] = {
          shift[k], mean[k], rstd};
    }
  }
  for_pixels(my.row, s.pixels, s.walk.rows, read_again, [&](int p, Raw raw) {
    const std::size_t pixel = static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride);
    float v[kChannels];
    widen(raw, v);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      const float t = (v[k] - shift[k]) - mean[k];
      if constexpr (kElementwise) {
        const std::size_t i = pixel + static_cast<std::size_t>(my.channel + k);
        v[k] = affine(t * scale[k], gamma[i], beta[i]);
      } else {
        v[k] = affine(t, scale[k], offset[k]);
      }
      if (s.relu) v[k] = v[k] > 0.0F ? v[k] : (v[k] != v[k] ? v[k] : 0.0F);  // NaN stays
    }
    store_raw(y + my.at + pixel, narrow(v));
  });
}

/// dx, and for each sample and channel the sums of dz (x - mean) rstd and dz, which the next kernel adds up
/// over the samples (not with per-element gamma).
/// Bytes: x and dy in, dx out; 75 % of what a copy reaches where x and dy of a slab fit into shared memory.
template <typename T, bool kOnChip, bool kElementwise>
__global__ void __launch_bounds__(kMostGroupThreads, 1)
    group_norm_backward_kernel(GroupShape s, const T* __restrict__ x,
                               const Statistics* __restrict__ statistics, const float* __restrict__ gamma,
                               const float* __restrict__ beta, const T* __restrict__ dy, T* __restrict__ dx,
                               float* __restrict__ dgamma, float* __restrict__ dbeta) {
  constexpr int kChannels = kWidth<T>;
  const int on_chip = kOnChip ? s.pixels * s.walk.vectors : 0;
  Raw* copy = dynamic_shared<Raw>();
  Raw* copy_dy = copy + on_chip;
  float* scratch = reinterpret_cast<float*>(copy_dy + on_chip);
  float* sums = scratch + s.walk.scratch(kChannels);
  float* sums_t = sums + s.slab;
  float* totals = sums_t + s.slab;
  float* totals_t = totals + kMostSlabGroups;
  const GroupThread<kChannels> my(s);
  const float count = static_cast<float>(s.size) * static_cast<float>(s.pixels);
  const int first = static_cast<int>(blockIdx.x) * s.slab;
  struct Pair {
    Raw x, dy;
  };
  const auto read = [&](int p) {
    const std::size_t i = my.at + static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride);
    return Pair{load_raw(x + i), load_raw(dy + i)};
  };
  GroupCoefficients<kChannels> of;
  if (my.works) of.template read<kElementwise>(s, my.channel, blockIdx.y, statistics, gamma, beta);
  // t and dz of one pixel; with per-element gamma, gamma dz.
  const auto terms = [&](int p, const Pair& raw, float(&t)[kChannels], float(&dz)[kChannels]) {
    widen(raw.x, t);
    widen(raw.dy, dz);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      t[k] = of.centered(t[k], k);
      if constexpr (kElementwise) {
        const std::size_t i = static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride) +
                              static_cast<std::size_t>(my.channel + k);
        if (s.relu && !(affine(t[k] * of.scale[k], gamma[i], beta[i]) > 0.0F)) dz[k] = 0;
        dz[k] *= gamma[i];
      } else {
        if (s.relu && !(affine(t[k], of.scale[k], of.beta[k]) > 0.0F)) dz[k] = 0;
      }
    }
  };

  float sum[kChannels] = {}, sum_t[kChannels] = {};
  if (my.works) {
    for_pixels(my.row, s.pixels, s.walk.rows, read, [&](int p, const Pair& raw) {
      if constexpr (kOnChip) {
        copy[p * s.walk.vectors + my.v] = raw.x;
        copy_dy[p * s.walk.vectors + my.v] = raw.dy;
      }
      float t[kChannels], dz[kChannels];
      terms(p, raw, t, dz);
      NORMLAB_UNROLL
      for (int k = 0; k < kChannels; ++k) {
        sum[k] += dz[k];
        sum_t[k] += dz[k] * t[k];
      }
    });
  }
  sum_rows(sum, s.walk, scratch, sums);
  sum_rows(sum_t, s.walk, scratch, sums_t);
  const auto rstd_of = [&](int c) {
    return statistics[blockIdx.y * static_cast<unsigned>(s.groups) + static_cast<unsigned>(c / s.size)].rstd;
  };
  if constexpr (!kElementwise) {
    for (int c = static_cast<int>(threadIdx.x); c < s.slab && first + c < s.channels;
         c += static_cast<int>(blockDim.x)) {
      const std::size_t i =
          blockIdx.y * static_cast<std::size_t>(s.channels) + static_cast<std::size_t>(first + c);
      dgamma[i] = sums_t[c] * rstd_of(first + c);
      dbeta[i] = sums[c];
    }
  }
  if (dx == nullptr) return;
  const auto weight = [&](int c) { return kElementwise ? 1.0F : gamma[c]; };
  sum_groups(s, sums, weight, totals);
  sum_groups(s, sums_t, weight, totals_t);

  // dx = scale dz - a - b t
  float a[kChannels] = {}, b[kChannels] = {};
  if (!my.works) return;
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    if (my.channel + k >= s.channels) continue;
    const int g = my.group(s, k);
    const float rstd = rstd_of(my.channel + k);
    a[k] = s.centered ? rstd * totals[g] / count : 0.0F;
    b[k] = rstd * rstd * rstd * totals_t[g] / count;
  }
  const auto read_again = [&](int p) {
    if constexpr (kOnChip) {
      return Pair{copy[p * s.walk.vectors + my.v], copy_dy[p * s.walk.vectors + my.v]};
    } else {
      return read(p);
    }
  };
  for_pixels(my.row, s.pixels, s.walk.rows, read_again, [&](int p, const Pair& raw) {
    float t[kChannels], dz[kChannels];
    terms(p, raw, t, dz);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) dz[k] = of.scale[k] * dz[k] - a[k] - b[k] * t[k];
    store_raw(dx + my.at + static_cast<std::size_t>(p) * static_cast<std::size_t>(s.stride), narrow(dz));
  });
}

inline constexpr int kParameterThreads = 256;

/// dgamma[c] += the sum over the samples of its column, dbeta likewise; a block for 32 channels, whose rows
/// of threads take every eighth sample, in order.
__global__ void __launch_bounds__(kParameterThreads, 2)
    group_norm_parameter_kernel(const float* by_sample, const float* by_sample_beta, int samples,
                                int channels, float* dgamma, float* dbeta) {
  constexpr int kRows = kParameterThreads / kWarp;
  NORMLAB_SHARED(float, part, kParameterThreads);
  NORMLAB_SHARED(float, part_beta, kParameterThreads);
  const int thread = static_cast<int>(threadIdx.x), row = thread / kWarp;
  const int c = static_cast<int>(blockIdx.x) * kWarp + thread % kWarp;
  float sum = 0, sum_beta = 0;
  for (int n = row; n < samples && c < channels; n += kRows) {
    const std::size_t i =
        static_cast<std::size_t>(n) * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c);
    sum += by_sample[i];
    sum_beta += by_sample_beta[i];
  }
  part[thread] = sum;
  part_beta[thread] = sum_beta;
  __syncthreads();
  if (row > 0 || c >= channels) return;
  for (int i = 1; i < kRows; ++i) {
    sum += part[thread + i * kWarp];
    sum_beta += part_beta[thread + i * kWarp];
  }
  dgamma[c] += sum;
  if (dbeta != nullptr) dbeta[c] += sum_beta;
}

/// Per-element gamma and beta: a thread for one vector of (pixel, channels) goes through the samples, in
/// order. Bytes: x and dy in, once more; 60 % of what memory delivers.
template <typename T>
__global__ void __launch_bounds__(kParameterThreads, 2)
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
  float g[kChannels], offset[kChannels], sum[kChannels] = {}, sum_beta[kChannels] = {};
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    g[k] = gamma[at + static_cast<std::size_t>(k)];
    offset[k] = beta[at + static_cast<std::size_t>(k)];
  }
  for (int n = 0; n < samples; ++n) {
    float t[kChannels], dz[kChannels];
    const std::size_t i = static_cast<std::size_t>(n) * sample + at;
    widen(load_raw(x + i), t);
    widen(load_raw(dy + i), dz);
    GroupCoefficients<kChannels> of;
    of.template read<true>(s, channel, static_cast<unsigned>(n), statistics, gamma, beta);
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      const float normalized = of.centered(t[k], k) * of.scale[k];
      if (s.relu && !(affine(normalized, g[k], offset[k]) > 0.0F)) dz[k] = 0;
      sum[k] += dz[k] * normalized;
      sum_beta[k] += dz[k];
    }
  }
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    dgamma[at + static_cast<std::size_t>(k)] += sum[k];
    dbeta[at + static_cast<std::size_t>(k)] += sum_beta[k];
  }
}

namespace {

/// The smallest multiple of `size` and of 8.
int whole(int size) {
  int slab = size;
  while (slab % 8 != 0) slab += size;
  return slab;
}

template <typename T>
GroupShape shape_of(const GroupNormSpec& spec, const Tensor& x) {
  GroupShape s;
  s.channels = x.shape.c;
  s.stride = padded(x.shape.c);
  s.pixels = x.shape.pixels();
  s.groups = spec.groups;
  s.size = x.shape.c / spec.groups;
  s.slab = whole(s.size) < s.stride ? whole(s.size) : s.stride;
  s.centered = spec.centered;
  s.relu = spec.relu;
  const int vectors = s.slab / kWidth<T>;
  if (vectors > kMostGroupThreads) {
    throw Error("a normalization group of {} channels; the GPU takes at most {} in {}", s.size,
                kMostGroupThreads * kWidth<T>, precision_name(x.type));
  }
  // Four vectors for each thread, where there are as many.
  const int wanted = vectors * s.pixels / 4;
  const int threads = wanted < 64 ? 64 : wanted > kMostGroupThreads ? kMostGroupThreads : wanted;
  s.walk = Walk::plan(vectors, s.pixels, threads > vectors ? threads : vectors);
  return s;
}

dim3 grid_of(const GroupShape& s, const Tensor& x) {
  return {static_cast<unsigned>(divide_up(s.channels, s.slab)), static_cast<unsigned>(x.shape.n)};
}

/// Calls launch_it(on_chip, elementwise) with flags as types and the dynamic shared memory in bytes.
template <typename T, typename Launch>
void for_case(const CudaBackend& backend, const GroupNormSpec& spec, const GroupShape& s, int copies,
              Launch launch_it) {
  const std::size_t floats =
      static_cast<std::size_t>(s.walk.scratch(kWidth<T>) + copies * s.slab + 2 * kMostSlabGroups);
  const std::size_t map = static_cast<std::size_t>(copies) * static_cast<std::size_t>(s.pixels) *
                          static_cast<std::size_t>(s.walk.vectors) * sizeof(Raw);
  const bool fits = map + floats * sizeof(float) <= backend.shared_bytes();
  with_flag(fits, [&](auto on_chip) {
    with_flag(spec.elementwise, [&](auto elementwise) {
      launch_it(on_chip, elementwise, floats * sizeof(float) + (fits ? map : 0));
    });
  });
}

}  // namespace

void CudaBackend::group_norm_forward(const GroupNormForward& args) {
  with_elements(args.x.type, [&](auto zero) {
    using T = decltype(zero);
    const GroupShape s = shape_of<T>(args.spec, args.x);
    for_case<T>(*this, args.spec, s, 1, [&](auto on_chip, auto elementwise, std::size_t shared) {
      launch(group_norm_forward_kernel<T, on_chip.value, elementwise.value>, grid_of(s, args.x),
             static_cast<unsigned>(s.walk.threads()), shared, stream(), s, elements<T>(args.x), args.gamma,
             args.beta, elements<T>(args.y), args.statistics);
    });
  });
}

void CudaBackend::group_norm_backward(const GroupNormBackward& args) {
  const Shape& shape = args.x.shape;
  const auto sums = static_cast<std::size_t>(shape.n) * static_cast<std::size_t>(shape.c);
  auto* dgamma = static_cast<float*>(workspace(2 * sums * sizeof(float)));
  with_elements(args.x.type, [&](auto zero) {
    using T = decltype(zero);
    const GroupShape s = shape_of<T>(args.spec, args.x);
    for_case<T>(*this, args.spec, s, 2, [&](auto on_chip, auto elementwise, std::size_t shared) {
      launch(group_norm_backward_kernel<T, on_chip.value, elementwise.value>, grid_of(s, args.x),
             static_cast<unsigned>(s.walk.threads()), shared, stream(), s, elements<T>(args.x),
             args.statistics, args.gamma, args.beta, elements<T>(args.dy), elements<T>(args.dx), dgamma,
             dgamma + sums);
    });
    if (args.spec.elementwise) {
      const std::size_t count = bytes(shape.with_n(1), args.x.type, Layout::native) / sizeof(Raw);
      launch(group_norm_elementwise_kernel<T>, blocks_for(count, kParameterThreads), kParameterThreads, 0,
             stream(), s, shape.n, elements<T>(args.x), args.statistics, args.gamma, args.beta,
             elements<T>(args.dy), args.dgamma, args.dbeta);
    }
  });
  if (args.spec.elementwise) return;
  launch(group_norm_parameter_kernel, static_cast<unsigned>(divide_up(shape.c, kWarp)), kParameterThreads, 0,
         stream(), dgamma, dgamma + sums, shape.n, shape.c, args.dgamma, args.dbeta);
}

}  // namespace normlab::NORMLAB_PLATFORM
