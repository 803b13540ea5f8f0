// Layer, group, instance and RMS norm, forward and backward; formulas stand at GroupNormSpec. Each sample is
// read from the cache it was just written to: sums, squares and the map itself are three passes over it. How
// sums keep their digits stands in normalize.hpp.

#include <algorithm>
#include <cmath>
#include <vector>

#include "host/cpu/host_kernels.hpp"
#include "host/cpu/normalize.hpp"
#include "layers/as_size.hpp"
#include "layers/kernels/group_norm.hpp"

namespace normlab {

namespace {

/// Memory for the channels' coefficients and sums. It grows once and is reused.
struct Scratch {
  std::vector<float> shift, mean, scale, beta, a, b;
  std::vector<double> sums, dgamma, dbeta;

  template <typename T>
  T* sized(std::vector<T>& values, int count) {
    values.assign(as_size(count) + 2 * kLanes, T(0));
    auto address = reinterpret_cast<std::uintptr_t>(values.data());
    return values.data() + (64 - address % 64) % 64 / sizeof(T);
  }
};

Scratch& scratch() {
  thread_local Scratch scratch;
  return scratch;
}

/// The coefficients of one sample's channels, zero in the padding, and their sums.
struct Channels {
  float *shift, *mean, *scale, *beta, *a, *b;
  double (*sums)[2][kLanes];  ///< two of each channel, by blocks
  double *dgamma, *dbeta;     ///< over the samples of a call

  explicit Channels(const HostLayout& at) {
    Scratch& c = scratch();
    const int channels = at.padded_channels();
    shift = c.sized(c.shift, channels);
    mean = c.sized(c.mean, channels);
    scale = c.sized(c.scale, channels);
    beta = c.sized(c.beta, channels);
    a = c.sized(c.a, channels);
    b = c.sized(c.b, channels);
    sums = reinterpret_cast<double(*)[2][kLanes]>(c.sized(c.sums, 2 * channels));
    dgamma = c.sized(c.dgamma, channels);
    dbeta = c.sized(c.dbeta, channels);
  }
  NORMLAB_INLINE void clear_sums(const HostLayout& at) const {
    std::fill_n(&sums[0][0][0], 2 * at.padded_channels(), 0.0);
  }
  template <typename Set>
  [[nodiscard]] NORMLAB_INLINE ChannelBlock<Set> block(int block) const {
    const int first = block * kLanes;
    return {shift + first, mean + first, scale + first, beta + first};
  }
  /// The sum over channels [first, end) of their first or second sum.
  [[nodiscard]] double total(int which, int first, int end) const {
    double total = 0;
    for (int i = first; i < end; ++i) total += sums[i / kLanes][which][i % kLanes];
    return total;
  }
};

/// Sixteen channels of a sample.
template <typename T>
NORMLAB_INLINE Map<T> map_of(const T* x, const HostLayout& at, int block) {
  return {x + block * at.block, at.pixels, at.pixel};
}

struct SampleStatistics {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* x, const HostLayout& at, int c, const GroupNormSpec& spec,
                                 Channels ch, Statistics* statistics) {
    const int size = c / spec.groups;
    const double count = static_cast<double>(size) * static_cast<double>(at.pixels);
    if (spec.centered) {
      for (int i = 0; i < c; ++i) ch.shift[i] = static_cast<float>(x[at.at(0, i - i % size, 0)]);
      ch.clear_sums(at);
      for (int b = 0; b < at.blocks; ++b) {
        add_shifted<Set>(map_of(x, at, b), load<Set>(ch.shift + b * kLanes), ch.sums[b]);
      }
      for (int g = 0; g < spec.groups; ++g) {
        const int first = g * size, end = first + size;
        const ShiftedMean of(static_cast<double>(ch.shift[first]) + ch.total(0, first, end) / count);
        std::fill(ch.shift + first, ch.shift + end, of.shift);
        std::fill(ch.mean + first, ch.mean + end, of.mean);
      }
    }
    ch.clear_sums(at);
    for (int b = 0; b < at.blocks; ++b) {
      add_squares<Set>(map_of(x, at, b), load<Set>(ch.shift + b * kLanes), load<Set>(ch.mean + b * kLanes),
                       ch.sums[b]);
    }
    for (int g = 0; g < spec.groups; ++g) {
      const int first = g * size, end = first + size;
      const double of_t = spec.centered ? ch.total(0, first, end) : 0, off = of_t / count;
      const double var = (ch.total(1, first, end) - off * of_t) / count;
      statistics[g] = {ch.shift[first], static_cast<float>(static_cast<double>(ch.mean[first]) + off),
                       static_cast<float>(1.0 / std::sqrt(var + static_cast<double>(kEpsilon)))};
    }
  }
};

/// Spreads the groups' statistics and the affine parameters over the channels.
void spread(const Statistics* statistics, int c, const GroupNormSpec& spec, const float* gamma,
            const float* beta, Channels ch) {
  const int size = c / spec.groups;
  for (int i = 0; i < c; ++i) {
    const Statistics& s = statistics[i / size];
    ch.shift[i] = s.shift;
    ch.mean[i] = s.mean;
    ch.scale[i] = spec.elementwise ? s.rstd : gamma[i] * s.rstd;
    ch.beta[i] = spec.elementwise || beta == nullptr ? 0.0F : beta[i];
  }
}

/// Calls loop(relu, offset), which are types, for gamma per element; offset: there is a beta per element,
/// too.
template <typename Loop>
NORMLAB_INLINE void for_elements(const GroupNormSpec& spec, const float* beta, Loop loop) {
  for_activation(spec.relu, [&](auto relu) NORMLAB_INLINE_LAMBDA {
    beta != nullptr ? loop(relu, std::true_type()) : loop(relu, std::false_type());
  });
}

/// The beta of elements from i on.
template <typename Set, bool kOffset>
NORMLAB_INLINE Vec<Set> offset_of(const float* beta, std::ptrdiff_t i) {
  if constexpr (kOffset) return load<Set>(beta + i);
  return zero<Set>();
}

/// The value before the activation at place i of a map, of t rstd, with gamma and beta per element.
template <bool kOffset, typename Set>
NORMLAB_INLINE Vec<Set> element_z(Vec<Set> normalized, const float* gamma, const float* beta,
                                  std::ptrdiff_t i) {
  return affine(normalized, load<Set>(gamma + i), offset_of<Set, kOffset>(beta, i));
}

struct Normalize {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const GroupNormSpec& spec, const T* x, const HostLayout& at, Channels ch,
                                 const float* gamma, const float* beta, T* y) {
    if (!spec.elementwise) {
      for_activation(spec.relu, [&](auto relu) NORMLAB_INLINE_LAMBDA {
        for (int b = 0; b < at.blocks; ++b)
          normalize<relu()>(ch.block<Set>(b), map_of(x, at, b), y + b * at.block);
      });
      return;
    }
    for_elements(spec, beta, [&](auto relu, auto offset) NORMLAB_INLINE_LAMBDA {
      for (int b = 0; b < at.blocks; ++b) {
        const auto k = ch.block<Set>(b);
        for (std::ptrdiff_t p = 0; p < at.pixels; ++p) {
          const std::ptrdiff_t i = b * at.block + p * at.pixel;
          const Vec<Set> normalized = k.centered(load<Set>(x + i)) * k.scale;
          store(y + i, activated<relu()>(element_z<offset()>(normalized, gamma, beta, i)));
        }
      }
    });
  }
};

/// The sums of dz and dz t per channel; elementwise: of gamma dz, and dgamma, dbeta are added up on the way.
struct GradientSums {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const GroupNormBackward& args, const T* x, const T* dy, const HostLayout& at,
                                 Channels ch) {
    if (!args.spec.elementwise) {
      for_activation(args.spec.relu, [&](auto relu) NORMLAB_INLINE_LAMBDA {
        for (int b = 0; b < at.blocks; ++b)
          add_gradients<relu()>(ch.block<Set>(b), map_of(x, at, b), dy + b * at.block, ch.sums[b]);
      });
      return;
    }
    const float *gamma = args.gamma, *beta = args.beta;
    float *dgamma = args.dgamma, *dbeta = args.dbeta;
    for_elements(args.spec, beta, [&](auto relu, auto offset) NORMLAB_INLINE_LAMBDA {
      for (int b = 0; b < at.blocks; ++b) {
        const auto k = ch.block<Set>(b);
        add_over_pixels<Set, 2, 2>(at.pixels, ch.sums[b], [&](std::ptrdiff_t p) NORMLAB_INLINE_LAMBDA {
          const std::ptrdiff_t i = b * at.block + p * at.pixel;
          const Vec<Set> t = k.centered(load<Set>(x + i)), normalized = t * k.scale;
          const Vec<Set> dz =
              before_activation<relu()>(load<Set>(dy + i), element_z<offset()>(normalized, gamma, beta, i));
          store(dgamma + i, load<Set>(dgamma + i) + dz * normalized);
          if (dbeta != nullptr) store(dbeta + i, load<Set>(dbeta + i) + dz);
          const Vec<Set> of_gamma = dz * load<Set>(gamma + i);
          return Several<Set, 2>{{of_gamma, of_gamma * t}};
        });
      }
    });
  }
};

/// dx = scale dz - a - b t; elementwise with gamma dz for dz.
struct GradientMap {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const GroupNormBackward& args, const T* x, const T* dy, const HostLayout& at,
                                 Channels ch, T* dx) {
    const auto coefficient = [&](const float* of, int block)
                                 NORMLAB_INLINE_LAMBDA { return load<Set>(of + block * kLanes); };
    if (!args.spec.elementwise) {
      for_activation(args.spec.relu, [&](auto relu) NORMLAB_INLINE_LAMBDA {
        for (int b = 0; b < at.blocks; ++b) {
          map_gradients<relu()>(ch.block<Set>(b), coefficient(ch.a, b), coefficient(ch.b, b),
                                map_of(x, at, b), dy + b * at.block, dx + b * at.block);
        }
      });
      return;
    }
    const float *gamma = args.gamma, *beta = args.beta;
    for_elements(args.spec, beta, [&](auto relu, auto offset) NORMLAB_INLINE_LAMBDA {
      for (int block = 0; block < at.blocks; ++block) {
        const auto k = ch.block<Set>(block);
        const Vec<Set> a = coefficient(ch.a, block), b = coefficient(ch.b, block);
        for (std::ptrdiff_t p = 0; p < at.pixels; ++p) {
          const std::ptrdiff_t i = block * at.block + p * at.pixel;
          const Vec<Set> t = k.centered(load<Set>(x + i));
          const Vec<Set> dz =
              before_activation<relu()>(load<Set>(dy + i), element_z<offset()>(t * k.scale, gamma, beta, i));
          store(dx + i, k.scale * (dz * load<Set>(gamma + i)) - a - b * t);
        }
      }
    });
  }
};

/// Of one sample: adds the channels' sums to those of dgamma and dbeta, and turns them into dx's coefficients
/// a and b.
void merge_channels(const GroupNormBackward& args, const Statistics* statistics, const HostLayout& at,
                    Channels ch) {
  const GroupNormSpec& spec = args.spec;
  const int size = args.x.shape.c / spec.groups;
  const double count = static_cast<double>(size) * static_cast<double>(at.pixels);
  for (int g = 0; g < spec.groups; ++g) {
    const double rstd = static_cast<double>(statistics[g].rstd);
    double sum = 0, sum_t = 0;  // of gamma dz and gamma dz t
    for (int i = g * size; i < (g + 1) * size; ++i) {
      const double of_dz = ch.sums[i / kLanes][0][i % kLanes], of_dz_t = ch.sums[i / kLanes][1][i % kLanes];
      const double gamma = spec.elementwise ? 1.0 : static_cast<double>(args.gamma[i]);
      sum += gamma * of_dz;
      sum_t += gamma * of_dz_t;
      ch.dgamma[i] += of_dz_t * rstd;
      ch.dbeta[i] += of_dz;
    }
    for (int i = g * size; i < (g + 1) * size; ++i) {
      ch.a[i] = spec.centered ? static_cast<float>(rstd * sum / count) : 0.0F;
      ch.b[i] = static_cast<float>(rstd * rstd * rstd * sum_t / count);
    }
  }
}

class HostGroupNorm final : public HostKernels<GroupNormKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(const GroupNormForward& args) override;
  void backward(const GroupNormBackward& args) override;
  void pack_elementwise(const float* values, Shape shape, DataType type, float* packed) override;
  void unpack_elementwise(const float* packed, Shape shape, DataType type, float* values) override;
};

}  // namespace

void HostGroupNorm::forward(const GroupNormForward& args) {
  args.spec.check(args.x.shape.c);
  const HostLayout at = layout(args.x);
  const Channels ch(at);
  with_storage(args.x.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < args.x.shape.n; ++n) {
      const T* x = args.x.as<T>() + n * at.sample;
      Statistics* statistics = args.statistics + static_cast<std::ptrdiff_t>(n) * args.spec.groups;
      kernel<SampleStatistics>(x, at, args.x.shape.c, args.spec, ch, statistics);
      spread(statistics, args.x.shape.c, args.spec, args.gamma, args.beta, ch);
      kernel<Normalize>(args.spec, x, at, ch, args.gamma, args.beta, args.y.as<T>() + n * at.sample);
    }
  });
}

void HostGroupNorm::backward(const GroupNormBackward& args) {
  args.spec.check(args.x.shape.c);
  const HostLayout at = layout(args.x);
  const Channels ch(at);
  with_storage(args.x.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < args.x.shape.n; ++n) {
      const T* x = args.x.as<T>() + n * at.sample;
      const T* dy = args.dy.as<T>() + n * at.sample;
      const Statistics* statistics = args.statistics + static_cast<std::ptrdiff_t>(n) * args.spec.groups;
      spread(statistics, args.x.shape.c, args.spec, args.gamma, args.beta, ch);
      ch.clear_sums(at);
      kernel<GradientSums>(args, x, dy, at, ch);
      merge_channels(args, statistics, at, ch);
      if (!args.dx.empty()) kernel<GradientMap>(args, x, dy, at, ch, args.dx.as<T>() + n * at.sample);
    }
  });
  for (int i = 0; !args.spec.elementwise && i < args.x.shape.c; ++i) {
    args.dgamma[i] += static_cast<float>(ch.dgamma[i]);
    if (args.dbeta != nullptr) args.dbeta[i] += static_cast<float>(ch.dbeta[i]);
  }
}

void HostGroupNorm::pack_elementwise(const float* values, Shape shape, DataType type, float* packed) {
  const HostLayout at(shape, host_.blocked(type));
  for (int c = 0; c < at.padded_channels(); ++c) {
    for (int p = 0; p < shape.pixels(); ++p) packed[at.at(0, c, p)] = c < shape.c ? *values++ : 0.0F;
  }
}

void HostGroupNorm::unpack_elementwise(const float* packed, Shape shape, DataType type, float* values) {
  const HostLayout at(shape, host_.blocked(type));
  for (int c = 0; c < shape.c; ++c) {
    for (int p = 0; p < shape.pixels(); ++p) *values++ = packed[at.at(0, c, p)];
  }
}

template <>
std::unique_ptr<GroupNormKernels> make_host_kernels<GroupNormKernels>(HostBackend& host) {
  return std::make_unique<HostGroupNorm>(host);
}

}  // namespace normlab
