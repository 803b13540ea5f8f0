// Batch norm in three parts: BatchNormKernels. A shard's sums are as normalize.hpp has them, and shards are
// merged in double, in order.

#include <algorithm>
#include <cmath>

#include "host/cpu/host_kernels.hpp"
#include "host/cpu/normalize.hpp"
#include "layers/kernels/batch_norm.hpp"

namespace normlab {

namespace {

/// Sixteen channels' coefficients, zero in the padding.
struct alignas(64) Coefficients {
  float shift[kLanes] = {}, mean[kLanes] = {}, scale[kLanes] = {}, beta[kLanes] = {}, a[kLanes] = {},
        b[kLanes] = {};

  template <typename Set>
  [[nodiscard]] NORMLAB_INLINE ChannelBlock<Set> block() const {
    return {shift, mean, scale, beta};
  }
};

int channels_in(const HostLayout& at, int block, int c) {
  return block + 1 < at.blocks ? kLanes : c - block * kLanes;
}

Coefficients coefficients_of(const BatchNormArgs& args, const HostLayout& at, int block) {
  Coefficients k;
  for (int i = 0; i < channels_in(at, block, args.x.shape.c); ++i) {
    const int c = block * kLanes + i;
    k.shift[i] = args.statistics[c].shift;
    k.mean[i] = args.statistics[c].mean;
    k.scale[i] = args.gamma[c] * args.statistics[c].rstd;
    k.beta[i] = args.beta[c];
  }
  return k;
}

/// Of the samples' values in one block: partial[i] for each channel i.
struct ShardMoments {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* x, int samples, const HostLayout& at, int channels,
                                 BatchNormPartial* partial) {
    const double count = static_cast<double>(samples) * static_cast<double>(at.pixels);
    alignas(64) double sum[1][kLanes] = {}, of_t[2][kLanes] = {};
    alignas(64) float shift[kLanes], mean[kLanes];
    const Vec<Set> first = load<Set>(x);
    store(shift, first);
    for (int n = 0; n < samples; ++n) {
      add_shifted<Set>(Map<T>{x + n * at.sample, at.pixels, at.pixel}, first, sum);
    }
    for (int i = 0; i < kLanes; ++i) {
      const ShiftedMean of(static_cast<double>(shift[i]) + sum[0][i] / count);
      shift[i] = of.shift;
      mean[i] = of.mean;
    }
    for (int n = 0; n < samples; ++n) {
      add_squares<Set>(Map<T>{x + n * at.sample, at.pixels, at.pixel}, load<Set>(shift), load<Set>(mean),
                       of_t);
    }
    for (int i = 0; i < channels; ++i) {
      const double off = of_t[0][i] / count;
      const auto corrected = static_cast<float>(static_cast<double>(mean[i]) + off);
      partial[i] = {shift[i], corrected, static_cast<float>(of_t[1][i] - off * of_t[0][i])};
    }
  }
};

struct Normalize {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(Map<T> map, const Coefficients& of, bool has_relu, T* y) {
    const auto k = of.block<Set>();
    for_activation(has_relu, [&](auto relu) NORMLAB_INLINE_LAMBDA { normalize<relu(), Set>(k, map, y); });
  }
};

/// Adds a sample's sums of dz and dz t.
struct GradientSums {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(Map<T> map, const T* dy, const Coefficients& of, bool has_relu,
                                 double (*totals)[kLanes]) {
    const auto k = of.block<Set>();
    for_activation(has_relu,
                   [&](auto relu) NORMLAB_INLINE_LAMBDA { add_gradients<relu(), Set>(k, map, dy, totals); });
  }
};

struct GradientMap {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(Map<T> map, const T* dy, const Coefficients& of, bool has_relu, T* dx) {
    const auto k = of.block<Set>();
    const Vec<Set> a = load<Set>(of.a), b = load<Set>(of.b);
    for_activation(
        has_relu, [&](auto relu) NORMLAB_INLINE_LAMBDA { map_gradients<relu(), Set>(k, a, b, map, dy, dx); });
  }
};

class HostBatchNorm final : public HostKernels<BatchNormKernels> {
 public:
  using HostKernels::HostKernels;
  [[nodiscard]] std::unique_ptr<BatchNormPlan> plan(const BatchNormSpec&) override { return nullptr; }
  void partial(Tensor x, BatchNormPartial* partial) override;
  void reduce(const BatchNormReduce& args) override;
  void running(const float* mean, const float* var, int c, Statistics* statistics) override;
  void forward(const BatchNormArgs& args, Tensor y) override;
  void gradient_partial(const BatchNormArgs& args, Tensor dy, BatchNormGradientPartial* partial) override;
  void gradient_reduce(const BatchNormGradientReduce& args) override;
  void backward(const BatchNormArgs& args, const BatchNormGradientPartial* means, Tensor dy,
                Tensor dx) override;
};

}  // namespace

void HostBatchNorm::partial(Tensor x, BatchNormPartial* partial) {
  const HostLayout at = layout(x);
  for (int block = 0; block < at.blocks; ++block) {
    with_storage(x.type, [&]<typename T>(Stored<T>) {
      kernel<ShardMoments>(x.as<T>() + block * at.block, x.shape.n, at, channels_in(at, block, x.shape.c),
                           partial + block * kLanes);
    });
  }
}

void HostBatchNorm::reduce(const BatchNormReduce& args) {
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
    const ShiftedMean of(mean);
    args.statistics[c] = {of.shift, of.mean,
                          static_cast<float>(1.0 / std::sqrt(var + static_cast<double>(kEpsilon)))};
    const auto update = [](float& running, double value) {
      const auto momentum = static_cast<double>(kRunningMomentum);
      running = static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * value);
    };
    update(args.running_mean[c], mean);
    update(args.running_var[c], m2 / (count - 1));
  }
}

void HostBatchNorm::running(const float* mean, const float* var, int c, Statistics* statistics) {
  for (int i = 0; i < c; ++i) {
    statistics[i] = {
        mean[i], 0.0F,
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(var[i]) + static_cast<double>(kEpsilon)))};
  }
}

void HostBatchNorm::forward(const BatchNormArgs& args, Tensor y) {
  const HostLayout at = layout(args.x);
  for (int block = 0; block < at.blocks; ++block) {
    const Coefficients k = coefficients_of(args, at, block);
    with_storage(y.type, [&]<typename T>(Stored<T>) {
      for (int n = 0; n < args.x.shape.n; ++n) {
        const std::ptrdiff_t i = n * at.sample + block * at.block;
        kernel<Normalize>(Map<T>{args.x.as<T>() + i, at.pixels, at.pixel}, k, args.relu, y.as<T>() + i);
      }
    });
  }
}

void HostBatchNorm::gradient_partial(const BatchNormArgs& args, Tensor dy,
                                     BatchNormGradientPartial* partial) {
  const HostLayout at = layout(args.x);
  for (int block = 0; block < at.blocks; ++block) {
    const Coefficients k = coefficients_of(args, at, block);
    alignas(64) double sums[2][kLanes] = {};
    with_storage(dy.type, [&]<typename T>(Stored<T>) {
      for (int n = 0; n < args.x.shape.n; ++n) {
        const std::ptrdiff_t i = n * at.sample + block * at.block;
        kernel<GradientSums>(Map<T>{args.x.as<T>() + i, at.pixels, at.pixel}, dy.as<T>() + i, k, args.relu,
                             sums);
      }
    });
    for (int i = 0; i < channels_in(at, block, args.x.shape.c); ++i) {
      const int c = block * kLanes + i;
      partial[c] = {static_cast<float>(sums[0][i]),
                    static_cast<float>(sums[1][i] * static_cast<double>(args.statistics[c].rstd))};
    }
  }
}

void HostBatchNorm::gradient_reduce(const BatchNormGradientReduce& args) {
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

void HostBatchNorm::backward(const BatchNormArgs& args, const BatchNormGradientPartial* means, Tensor dy,
                             Tensor dx) {
  if (dx.empty()) return;
  const HostLayout at = layout(args.x);
  for (int block = 0; block < at.blocks; ++block) {
    Coefficients k = coefficients_of(args, at, block);
    for (int i = 0; i < channels_in(at, block, args.x.shape.c); ++i) {
      const int c = block * kLanes + i;
      k.a[i] = k.scale[i] * means[c].dbeta;
      k.b[i] = k.scale[i] * means[c].dgamma * args.statistics[c].rstd;
    }
    with_storage(dx.type, [&]<typename T>(Stored<T>) {
      for (int n = 0; n < args.x.shape.n; ++n) {
        const std::ptrdiff_t i = n * at.sample + block * at.block;
        kernel<GradientMap>(Map<T>{args.x.as<T>() + i, at.pixels, at.pixel}, dy.as<T>() + i, k, args.relu,
                            dx.as<T>() + i);
      }
    });
  }
}

template <>
std::unique_ptr<BatchNormKernels> make_host_kernels<BatchNormKernels>(HostBackend& host) {
  return std::make_unique<HostBatchNorm>(host);
}

}  // namespace normlab
