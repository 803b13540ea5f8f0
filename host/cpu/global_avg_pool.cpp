#include "layers/kernels/global_avg_pool.hpp"
#include "host/cpu/host_kernels.hpp"
#include "host/cpu/sums.hpp"

namespace normlab {

namespace {

struct Average {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* x, std::ptrdiff_t pixels, std::ptrdiff_t stride, T* y) {
    double sum[1][kLanes] = {};
    add_shifted<Set>(Map<T>{x, pixels, stride}, zero<Set>(), sum);
    alignas(64) float mean[kLanes];
    for (int i = 0; i < kLanes; ++i) mean[i] = static_cast<float>(sum[0][i] / static_cast<double>(pixels));
    store(y, load<Set>(mean));
  }
};

struct Spread {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* dy, std::ptrdiff_t pixels, std::ptrdiff_t stride, T* dx) {
    const Vec<Set> share = load<Set>(dy) / static_cast<float>(pixels);
    for (std::ptrdiff_t p = 0; p < pixels; ++p) store(dx + p * stride, share);
  }
};

class HostGlobalAvgPool final : public HostKernels<GlobalAvgPoolKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(Tensor x, Tensor y) override;
  void backward(Tensor dy, Tensor dx) override;
};

}  // namespace

void HostGlobalAvgPool::forward(Tensor x, Tensor y) {
  const HostLayout from = layout(x), to = layout(y);
  with_storage(x.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < x.shape.n; ++n) {
      for (int b = 0; b < from.blocks; ++b) {
        kernel<Average>(x.as<T>() + n * from.sample + b * from.block, from.pixels, from.pixel,
                        y.as<T>() + n * to.sample + b * to.block);
      }
    }
  });
}

void HostGlobalAvgPool::backward(Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const HostLayout from = layout(dy), to = layout(dx);
  with_storage(dy.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < dx.shape.n; ++n) {
      for (int b = 0; b < to.blocks; ++b) {
        kernel<Spread>(dy.as<T>() + n * from.sample + b * from.block, to.pixels, to.pixel,
                       dx.as<T>() + n * to.sample + b * to.block);
      }
    }
  });
}

template <>
std::unique_ptr<GlobalAvgPoolKernels> make_host_kernels<GlobalAvgPoolKernels>(HostBackend& host) {
  return std::make_unique<HostGlobalAvgPool>(host);
}

}  // namespace normlab
