// Layer, group, instance and RMS norm, forward and backward; formulas stand at GroupNormSpec. Each sample is
// read from the cache it was just written to: sums, squares and the map itself are three passes over it.

#include <cmath>
#include <vector>

#include "host/host_backend.hpp"
#include "host/normalize.hpp"

namespace normlab {

namespace {

/// Per-channel coefficients of one sample, zero in the padding. They grow once and are reused.
struct Coefficients {
  std::vector<float> shift, mean, scale, beta, a, b;

  float* sized(std::vector<float>& values, const HostLayout& at) {
    values.assign(static_cast<std::size_t>(at.padded_channels()) + 2 * kLanes, 0.0F);
    auto address = reinterpret_cast<std::uintptr_t>(values.data());
    return values.data() + (64 - address % 64) % 64 / sizeof(float);
  }
};

Coefficients& coefficients() {
  thread_local Coefficients coefficients;
  return coefficients;
}

struct Channels {
  float *shift, *mean, *scale, *beta, *a, *b;

  explicit Channels(const HostLayout& at) {
    Coefficients& c = coefficients();
    shift = c.sized(c.shift, at);
    mean = c.sized(c.mean, at);
    scale = c.sized(c.scale, at);
    beta = c.sized(c.beta, at);
    a = c.sized(c.a, at);
    b = c.sized(c.b, at);
  }
};

NORMLAB_INLINE void sample_statistics(const float* x, const HostLayout& at, int c, const GroupNormSpec& spec,
                                      Channels ch, Statistics* statistics) {
  const int size = c / spec.groups;
  const double count = static_cast<double>(size) * static_cast<double>(at.pixels);
  if (spec.centered) {
    for (int i = 0; i < c; ++i) ch.shift[i] = x[at.at(0, i - i % size, 0)];
    for (int b = 0; b < at.blocks; ++b) {
      store(ch.a + b * kLanes,
            sum_shifted({x + b * at.block, at.pixels, at.pixel}, load(ch.shift + b * kLanes)));
    }
  }
  for (int g = 0; g < spec.groups; ++g) {
    double sum = 0;
    for (int i = g * size; i < (g + 1) * size; ++i) sum += static_cast<double>(ch.a[i]);
    statistics[g].shift = ch.shift[g * size];
    statistics[g].mean = spec.centered ? static_cast<float>(sum / count) : 0.0F;
    for (int i = g * size; i < (g + 1) * size; ++i) ch.mean[i] = statistics[g].mean;
  }
  for (int b = 0; b < at.blocks; ++b) {
    store(ch.a + b * kLanes, sum_squares({x + b * at.block, at.pixels, at.pixel}, load(ch.shift + b * kLanes),
                                         load(ch.mean + b * kLanes)));
  }
  for (int g = 0; g < spec.groups; ++g) {
    double squares = 0;
    for (int i = g * size; i < (g + 1) * size; ++i) squares += static_cast<double>(ch.a[i]);
    statistics[g].rstd = static_cast<float>(1.0 / std::sqrt(squares / count + static_cast<double>(kEpsilon)));
  }
}

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

template <bool kRelu, bool kElementwise>
NORMLAB_INLINE void normalize(const float* x, const HostLayout& at, Channels ch, const float* gamma,
                              const float* beta, float* y) {
  for (int b = 0; b < at.blocks; ++b) {
    const Vec shift = load(ch.shift + b * kLanes), mean = load(ch.mean + b * kLanes);
    const Vec scale = load(ch.scale + b * kLanes), offset = load(ch.beta + b * kLanes);
    for (std::ptrdiff_t p = 0; p < at.pixels; ++p) {
      const std::ptrdiff_t i = b * at.block + p * at.pixel;
      const Vec t = (load(x + i) - shift) - mean;
      const Vec z =
          kElementwise ? affine(t * scale, load(gamma + i), load(beta + i)) : affine(t, scale, offset);
      store(y + i, activated<kRelu>(z));
    }
  }
}

NORMLAB_INLINE void normalize_sample(const GroupNormSpec& spec, const float* x, const HostLayout& at,
                                     Channels ch, const float* gamma, const float* beta, float* y) {
  if (spec.elementwise) {
    spec.relu ? normalize<true, true>(x, at, ch, gamma, beta, y)
              : normalize<false, true>(x, at, ch, gamma, beta, y);
  } else {
    spec.relu ? normalize<true, false>(x, at, ch, gamma, beta, y)
              : normalize<false, false>(x, at, ch, gamma, beta, y);
  }
}

/// a = sum(dz), b = sum(dz t) per channel; elementwise: of gamma dz, and dgamma, dbeta are added up on the
/// way.
template <bool kRelu, bool kElementwise>
NORMLAB_INLINE void gradient_sums(const float* x, const float* dy, const HostLayout& at, Channels ch,
                                  const float* gamma, const float* beta, float* dgamma, float* dbeta) {
  for (int b = 0; b < at.blocks; ++b) {
    const Vec shift = load(ch.shift + b * kLanes), mean = load(ch.mean + b * kLanes);
    const Vec scale = load(ch.scale + b * kLanes), offset = load(ch.beta + b * kLanes);
    Vec sum[2] = {zero(), zero()}, sum_t[2] = {zero(), zero()};
    for (std::ptrdiff_t p = 0; p < at.pixels; ++p) {
      const std::ptrdiff_t i = b * at.block + p * at.pixel;
      const Vec t = (load(x + i) - shift) - mean;
      Vec dz;
      if constexpr (kElementwise) {
        const Vec normalized = t * scale;
        dz = before_activation<kRelu>(load(dy + i), affine(normalized, load(gamma + i), load(beta + i)));
        store(dgamma + i, load(dgamma + i) + dz * normalized);
        store(dbeta + i, load(dbeta + i) + dz);
        dz *= load(gamma + i);
      } else {
        dz = before_activation<kRelu>(load(dy + i), affine(t, scale, offset));
      }
      sum[p % 2] += dz;
      sum_t[p % 2] += dz * t;
    }
    store(ch.a + b * kLanes, sum[0] + sum[1]);
    store(ch.b + b * kLanes, sum_t[0] + sum_t[1]);
  }
}

/// dx = scale dz - a - b t; elementwise with gamma dz for dz.
template <bool kRelu, bool kElementwise>
NORMLAB_INLINE void gradient_map(const float* x, const float* dy, const HostLayout& at, Channels ch,
                                 const float* gamma, const float* beta, float* dx) {
  for (int block = 0; block < at.blocks; ++block) {
    const Vec shift = load(ch.shift + block * kLanes), mean = load(ch.mean + block * kLanes);
    const Vec scale = load(ch.scale + block * kLanes), offset = load(ch.beta + block * kLanes);
    const Vec a = load(ch.a + block * kLanes), b = load(ch.b + block * kLanes);
    for (std::ptrdiff_t p = 0; p < at.pixels; ++p) {
      const std::ptrdiff_t i = block * at.block + p * at.pixel;
      const Vec t = (load(x + i) - shift) - mean;
      Vec dz;
      if constexpr (kElementwise) {
        dz = before_activation<kRelu>(load(dy + i), affine(t * scale, load(gamma + i), load(beta + i)));
        dz *= load(gamma + i);
      } else {
        dz = before_activation<kRelu>(load(dy + i), affine(t, scale, offset));
      }
      store(dx + i, scale * dz - a - b * t);
    }
  }
}

NORMLAB_INLINE void sums_of_sample(const GroupNormBackward& args, const float* x, const float* dy,
                                   const HostLayout& at, Channels ch) {
  const auto& [spec, x_, statistics, gamma, beta, dy_, dx_, dgamma, dbeta] = args;
  if (spec.elementwise) {
    spec.relu ? gradient_sums<true, true>(x, dy, at, ch, gamma, beta, dgamma, dbeta)
              : gradient_sums<false, true>(x, dy, at, ch, gamma, beta, dgamma, dbeta);
  } else {
    spec.relu ? gradient_sums<true, false>(x, dy, at, ch, gamma, beta, dgamma, dbeta)
              : gradient_sums<false, false>(x, dy, at, ch, gamma, beta, dgamma, dbeta);
  }
}

NORMLAB_INLINE void map_of_sample(const GroupNormBackward& args, const float* x, const float* dy,
                                  const HostLayout& at, Channels ch, float* dx) {
  const auto& [spec, x_, statistics, gamma, beta, dy_, dx_, dgamma, dbeta] = args;
  if (spec.elementwise) {
    spec.relu ? gradient_map<true, true>(x, dy, at, ch, gamma, beta, dx)
              : gradient_map<false, true>(x, dy, at, ch, gamma, beta, dx);
  } else {
    spec.relu ? gradient_map<true, false>(x, dy, at, ch, gamma, beta, dx)
              : gradient_map<false, false>(x, dy, at, ch, gamma, beta, dx);
  }
}

}  // namespace

void HostBackend::group_norm_forward(const GroupNormForward& args) {
  const HostLayout at = layout(args.x);
  const Channels ch(at);
  for (int n = 0; n < args.x.shape.n; ++n) {
    const float* x = args.x.data + n * at.sample;
    Statistics* statistics = args.statistics + static_cast<std::ptrdiff_t>(n) * args.spec.groups;
    kernel<sample_statistics>(x, at, args.x.shape.c, args.spec, ch, statistics);
    spread(statistics, args.x.shape.c, args.spec, args.gamma, args.beta, ch);
    kernel<normalize_sample>(args.spec, x, at, ch, args.gamma, args.beta, args.y.data + n * at.sample);
  }
}

void HostBackend::group_norm_backward(const GroupNormBackward& args) {
  const HostLayout at = layout(args.x);
  const GroupNormSpec& spec = args.spec;
  const int c = args.x.shape.c, size = c / spec.groups;
  const double count = static_cast<double>(size) * static_cast<double>(at.pixels);
  const Channels ch(at);
  for (int n = 0; n < args.x.shape.n; ++n) {
    const float* x = args.x.data + n * at.sample;
    const float* dy = args.dy.data + n * at.sample;
    const Statistics* statistics = args.statistics + static_cast<std::ptrdiff_t>(n) * spec.groups;
    spread(statistics, c, spec, args.gamma, args.beta, ch);
    kernel<sums_of_sample>(args, x, dy, at, ch);
    for (int g = 0; g < spec.groups; ++g) {
      const double rstd = static_cast<double>(statistics[g].rstd);
      double sum = 0, sum_t = 0;  // of gamma dz and gamma dz t
      for (int i = g * size; i < (g + 1) * size; ++i) {
        const double gamma = spec.elementwise ? 1.0 : static_cast<double>(args.gamma[i]);
        sum += gamma * static_cast<double>(ch.a[i]);
        sum_t += gamma * static_cast<double>(ch.b[i]);
        if (spec.elementwise) continue;
        args.dgamma[i] += static_cast<float>(static_cast<double>(ch.b[i]) * rstd);
        if (args.dbeta != nullptr) args.dbeta[i] += ch.a[i];
      }
      for (int i = g * size; i < (g + 1) * size; ++i) {
        ch.a[i] = spec.centered ? static_cast<float>(rstd * sum / count) : 0.0F;
        ch.b[i] = static_cast<float>(rstd * rstd * rstd * sum_t / count);
      }
    }
    if (!args.dx.empty()) kernel<map_of_sample>(args, x, dy, at, ch, args.dx.data + n * at.sample);
  }
}

void HostBackend::pack_elementwise(const float* values, Shape shape, float* packed) {
  upload(values, {packed, shape.with_n(1)});
}

void HostBackend::unpack_elementwise(const float* packed, Shape shape, float* values) {
  download({const_cast<float*>(packed), shape.with_n(1)}, values);
}

}  // namespace normlab
