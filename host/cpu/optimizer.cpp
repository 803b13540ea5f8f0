#include <algorithm>
#include <cmath>

#include "host/cpu/host_kernels.hpp"
#include "layers/as_size.hpp"
#include "layers/kernels/optimizer.hpp"

namespace normlab {

// These loops the compiler turns into vectors by itself, for each instruction set as it likes.
namespace {

/// a += b for a tree of `count` lanes over one range of elements: lane i takes lane i + distance.
struct AddTree {
  template <typename Set>
  static NORMLAB_INLINE void run(float* lanes, std::size_t stride, std::size_t begin, std::size_t end,
                                 int count) {
    for (int distance = 1; distance < count; distance *= 2) {
      for (int lane = 0; lane + distance < count; lane += 2 * distance) {
        float* sum = lanes + as_size(lane) * stride;
        const float* term = lanes + as_size(lane + distance) * stride;
        for (std::size_t i = begin; i < end; ++i) sum[i] += term[i];
      }
    }
  }
};

struct Squares {
  template <typename Set>
  static NORMLAB_INLINE double run(const float* values, std::size_t count) {
    double sum[8] = {};
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) {
      for (std::size_t k = 0; k < 8; ++k) {
        const auto value = static_cast<double>(values[i + k]);
        sum[k] += value * value;
      }
    }
    for (; i < count; ++i) sum[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  }
};

struct Sgd {
  template <typename Set>
  static NORMLAB_INLINE void run(const SgdStep& s, StepRates r, float gradient_scale) {
    const float of_gradient = s.nesterov ? 1.0F : 0.0F, of_velocity = s.nesterov ? r.momentum : 1.0F;
    for (std::size_t i = 0; i < s.count; ++i) {
      const float g = gradient_scale * s.g[i] + s.weight_decay * s.w[i];
      s.v[i] = r.keep * s.v[i] + g;
      s.w[i] -= r.lr * (of_gradient * g + of_velocity * s.v[i]);
    }
  }
};

struct AdamW {
  template <typename Set>
  static NORMLAB_INLINE void run(const AdamWStep& s, StepRates r, float gradient_scale) {
    for (std::size_t i = 0; i < s.count; ++i) {
      const float g = gradient_scale * s.g[i];
      s.w[i] -= r.lr * s.weight_decay * s.w[i];
      s.m[i] += (1.0F - r.momentum) * (g - s.m[i]);
      s.v[i] = s.beta2 * s.v[i] + (1.0F - s.beta2) * g * g;
      s.w[i] -= r.step_size * s.m[i] / (__builtin_sqrtf(s.v[i]) * r.second_scale + s.epsilon);
    }
  }
};

class HostOptimizer final : public HostKernels<OptimizerKernels> {
 public:
  using HostKernels::HostKernels;
  void add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) override;
  void sum_of_squares(const float* values, std::size_t count, double* sum) override;
  void sgd(const SgdStep& args) override;
  void adamw(const AdamWStep& args) override;
};

}  // namespace

void HostOptimizer::add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) {
  constexpr std::size_t kChunk = 4096;
  const int chunks = static_cast<int>((size + kChunk - 1) / kChunk);
  host_.run(chunks, [&](int chunk, int) {
    const std::size_t begin = as_size(chunk) * kChunk;
    kernel<AddTree>(lanes, stride, begin, std::min(size, begin + kChunk), count);
  });
}

void HostOptimizer::sum_of_squares(const float* values, std::size_t count, double* sum) {
  *sum = kernel<Squares>(values, count);
}

void HostOptimizer::sgd(const SgdStep& args) {
  kernel<Sgd>(args, *args.rates, clip_scale(std::sqrt(*args.squared_norm), args.clip));
}

void HostOptimizer::adamw(const AdamWStep& args) {
  kernel<AdamW>(args, *args.rates, clip_scale(std::sqrt(*args.squared_norm), args.clip));
}

template <>
std::unique_ptr<OptimizerKernels> make_host_kernels<OptimizerKernels>(HostBackend& host) {
  return std::make_unique<HostOptimizer>(host);
}

}  // namespace normlab
