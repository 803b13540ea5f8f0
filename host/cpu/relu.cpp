#include "layers/kernels/relu.hpp"
#include "host/cpu/host_kernels.hpp"

namespace normlab {

namespace {

struct Forward {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* x, std::ptrdiff_t count, T* y) {
    for (std::ptrdiff_t i = 0; i < count; i += kLanes) store(y + i, positive(load<Set>(x + i)));
  }
};

struct Backward {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* y, const T* dy, std::ptrdiff_t count, T* dx) {
    for (std::ptrdiff_t i = 0; i < count; i += kLanes)
      store(dx + i, where_positive(load<Set>(y + i), load<Set>(dy + i)));
  }
};

class HostRelu final : public HostKernels<ReluKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(Tensor x, Tensor y) override;
  void backward(Tensor y, Tensor dy, Tensor dx) override;
};

}  // namespace

void HostRelu::forward(Tensor x, Tensor y) {
  with_storage(x.type, [&]<typename T>(Stored<T>) {
    kernel<Forward>(x.as<T>(), layout(x).sample * x.shape.n, y.as<T>());
  });
}

void HostRelu::backward(Tensor y, Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  with_storage(y.type, [&]<typename T>(Stored<T>) {
    kernel<Backward>(y.as<T>(), dy.as<T>(), layout(y).sample * y.shape.n, dx.as<T>());
  });
}

template <>
std::unique_ptr<ReluKernels> make_host_kernels<ReluKernels>(HostBackend& host) {
  return std::make_unique<HostRelu>(host);
}

}  // namespace normlab
