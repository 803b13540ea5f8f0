// Batch norm in three parts, see operations.hpp. Partial sums of a shard are fp32 over x - shift, with the
// shard's own first value of the channel as shift; shards are merged in double, in order.

#include <cmath>

#include "host/host_backend.hpp"
#include "host/normalize.hpp"

namespace normlab {

namespace {

/// Sixteen channels' coefficients, zero in the padding.
struct alignas(64) Block {
  float shift[kLanes] = {}, mean[kLanes] = {}, scale[kLanes] = {}, beta[kLanes] = {}, a[kLanes] = {},
        b[kLanes] = {};
};

int channels_in(const HostLayout& at, int block, int c) {
  return block + 1 < at.blocks ? kLanes : c - block * kLanes;
}

Block block_of(const BatchNormArgs& args, const HostLayout& at, int block) {
  Block k;
  for (int i = 0; i < channels_in(at, block, args.x.shape.c); ++i) {
    const int c = block * kLanes + i;
    k.shift[i] = args.statistics[c].shift;
    k.mean[i] = args.statistics[c].mean;
    k.scale[i] = args.gamma[c] * args.statistics[c].rstd;
    k.beta[i] = args.beta[c];
  }
  return k;
}

NORMLAB_INLINE void block_sums(const float* x, int samples, const HostLayout& at, Vec* shift, Vec* mean,
                               Vec* m2) {
  const Vec first = load(x);
  Vec sum = zero();
  for (int n = 0; n < samples; ++n) sum += sum_shifted({x + n * at.sample, at.pixels, at.pixel}, first);
  const Vec average = sum / static_cast<float>(samples * at.pixels);
  Vec squares = zero();
  for (int n = 0; n < samples; ++n)
    squares += sum_squares({x + n * at.sample, at.pixels, at.pixel}, first, average);
  *shift = first;
  *mean = average;
  *m2 = squares;
}

template <bool kRelu>
NORMLAB_INLINE void normalize(const float* x, std::ptrdiff_t pixels, std::ptrdiff_t stride, const Block& k,
                              float* y) {
  const Vec shift = load(k.shift), mean = load(k.mean), scale = load(k.scale), beta = load(k.beta);
  for (std::ptrdiff_t i = 0; i < pixels * stride; i += stride) {
    store(y + i, activated<kRelu>(affine((load(x + i) - shift) - mean, scale, beta)));
  }
}

NORMLAB_INLINE void normalize_block(const float* x, const HostLayout& at, const Block& k, bool relu,
                                    float* y) {
  relu ? normalize<true>(x, at.pixels, at.pixel, k, y) : normalize<false>(x, at.pixels, at.pixel, k, y);
}

template <bool kRelu>
NORMLAB_INLINE void sums(const float* x, const float* dy, std::ptrdiff_t pixels, std::ptrdiff_t stride,
                         Block& k) {
  const Vec shift = load(k.shift), mean = load(k.mean), scale = load(k.scale), beta = load(k.beta);
  Vec sum[2] = {zero(), zero()}, sum_t[2] = {zero(), zero()};
  for (std::ptrdiff_t p = 0; p < pixels; ++p) {
    const Vec t = (load(x + p * stride) - shift) - mean;
    const Vec dz = before_activation<kRelu>(load(dy + p * stride), affine(t, scale, beta));
    sum[p % 2] += dz;
    sum_t[p % 2] += dz * t;
  }
  store(k.a, load(k.a) + (sum[0] + sum[1]));
  store(k.b, load(k.b) + (sum_t[0] + sum_t[1]));
}

NORMLAB_INLINE void gradient_block(const float* x, const float* dy, const HostLayout& at, bool relu,
                                   Block& k) {
  relu ? sums<true>(x, dy, at.pixels, at.pixel, k) : sums<false>(x, dy, at.pixels, at.pixel, k);
}

template <bool kRelu>
NORMLAB_INLINE void gradient_map(const float* x, const float* dy, std::ptrdiff_t pixels,
                                 std::ptrdiff_t stride, const Block& k, float* dx) {
  const Vec shift = load(k.shift), mean = load(k.mean), scale = load(k.scale), beta = load(k.beta);
  const Vec a = load(k.a), b = load(k.b);
  for (std::ptrdiff_t i = 0; i < pixels * stride; i += stride) {
    const Vec t = (load(x + i) - shift) - mean;
    const Vec dz = before_activation<kRelu>(load(dy + i), affine(t, scale, beta));
    store(dx + i, scale * dz - a - b * t);
  }
}

NORMLAB_INLINE void map_block(const float* x, const float* dy, const HostLayout& at, bool relu,
                              const Block& k, float* dx) {
  relu ? gradient_map<true>(x, dy, at.pixels, at.pixel, k, dx)
       : gradient_map<false>(x, dy, at.pixels, at.pixel, k, dx);
}

}  // namespace

void HostBackend::batch_norm_partial(Tensor x, BatchNormPartial* partial) {
  const HostLayout at = layout(x);
  for (int block = 0; block < at.blocks; ++block) {
    Vec shift, mean, m2;
    kernel<block_sums>(x.data + block * at.block, x.shape.n, at, &shift, &mean, &m2);
    for (int i = 0; i < channels_in(at, block, x.shape.c); ++i) {
      partial[block * kLanes + i] = {shift[i], mean[i], m2[i]};
    }
  }
}

void HostBackend::batch_norm_reduce(const BatchNormReduce& args) {
  const double pixels = args.x.pixels();
  for (int c = 0; c < args.x.c; ++c) {
    // Chan, Golub and LeVeque's merge (1979).
    double count = 0, mean = 0, m2 = 0;
    for (int shard = 0; shard < args.shards; ++shard) {
      const BatchNormPartial& part = args.partials[shard * args.x.c + c];
      const int samples = std::min(args.shard_samples, args.samples - shard * args.shard_samples);
      const double part_count = samples * pixels;
      const double delta = static_cast<double>(part.shift) + static_cast<double>(part.mean) - mean;
      const double total = count + part_count;
      mean += delta * part_count / total;
      m2 += static_cast<double>(part.m2) + delta * delta * count * part_count / total;
      count = total;
    }
    const double var = m2 / count;
    const auto shift = static_cast<float>(mean);
    args.statistics[c] = {shift, static_cast<float>(mean - static_cast<double>(shift)),
                          static_cast<float>(1.0 / std::sqrt(var + static_cast<double>(kEpsilon)))};
    const auto update = [](float& running, double value) {
      const auto momentum = static_cast<double>(kRunningMomentum);
      running = static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * value);
    };
    update(args.running_mean[c], mean);
    update(args.running_var[c], m2 / (count - 1));
  }
}

void HostBackend::batch_norm_running(const float* mean, const float* var, int c, Statistics* statistics) {
  for (int i = 0; i < c; ++i) {
    statistics[i] = {
        mean[i], 0.0F,
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(var[i]) + static_cast<double>(kEpsilon)))};
  }
}

void HostBackend::batch_norm_forward(const BatchNormArgs& args, Tensor y) {
  const HostLayout at = layout(args.x);
  for (int block = 0; block < at.blocks; ++block) {
    const Block k = block_of(args, at, block);
    for (int n = 0; n < args.x.shape.n; ++n) {
      const std::ptrdiff_t i = n * at.sample + block * at.block;
      kernel<normalize_block>(args.x.data + i, at, k, args.relu, y.data + i);
    }
  }
}

void HostBackend::batch_norm_gradient_partial(const BatchNormArgs& args, Tensor dy,
                                              BatchNormGradientPartial* partial) {
  const HostLayout at = layout(args.x);
  for (int block = 0; block < at.blocks; ++block) {
    Block k = block_of(args, at, block);
    for (int n = 0; n < args.x.shape.n; ++n) {
      const std::ptrdiff_t i = n * at.sample + block * at.block;
      kernel<gradient_block>(args.x.data + i, dy.data + i, at, args.relu, k);
    }
    for (int i = 0; i < channels_in(at, block, args.x.shape.c); ++i) {
      const int c = block * kLanes + i;
      partial[c] = {k.a[i], k.b[i] * args.statistics[c].rstd};
    }
  }
}

void HostBackend::batch_norm_gradient_reduce(const BatchNormGradientReduce& args) {
  const double count = static_cast<double>(args.samples) * args.x.pixels();
  for (int c = 0; c < args.x.c; ++c) {
    double dgamma = 0, dbeta = 0;
    for (int shard = 0; shard < args.shards; ++shard) {
      const BatchNormGradientPartial& part = args.partials[shard * args.x.c + c];
      dgamma += static_cast<double>(part.dgamma);
      dbeta += static_cast<double>(part.dbeta);
    }
    args.means[c] = {static_cast<float>(dbeta / count), static_cast<float>(dgamma / count)};
    args.dgamma[c] += static_cast<float>(dgamma);
    args.dbeta[c] += static_cast<float>(dbeta);
  }
}

void HostBackend::batch_norm_backward(const BatchNormArgs& args, const BatchNormGradientPartial* means,
                                      Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const HostLayout at = layout(args.x);
  for (int block = 0; block < at.blocks; ++block) {
    Block k = block_of(args, at, block);
    for (int i = 0; i < channels_in(at, block, args.x.shape.c); ++i) {
      const int c = block * kLanes + i;
      k.a[i] = k.scale[i] * means[c].dbeta;
      k.b[i] = k.scale[i] * means[c].dgamma * args.statistics[c].rstd;
    }
    for (int n = 0; n < args.x.shape.n; ++n) {
      const std::ptrdiff_t i = n * at.sample + block * at.block;
      kernel<map_block>(args.x.data + i, dy.data + i, at, args.relu, k, dx.data + i);
    }
  }
}

}  // namespace normlab
