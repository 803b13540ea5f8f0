#include <algorithm>

#include "host/cpu/host_kernels.hpp"
#include "layers/kernels/add.hpp"

namespace normlab {

namespace {

struct Sum {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* a, const T* b, std::ptrdiff_t count, T* y) {
    for (std::ptrdiff_t i = 0; i < count; i += kLanes) store(y + i, load<Set>(a + i) + load<Set>(b + i));
  }
};

class HostAdd final : public HostKernels<AddKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(Tensor a, Tensor b, Tensor y) override;
};

}  // namespace

void HostAdd::forward(Tensor a, Tensor b, Tensor y) {
  with_storage(a.type, [&]<typename T>(Stored<T>) {
    kernel<Sum>(a.as<T>(), b.as<T>(), layout(a).sample * a.shape.n, y.as<T>());
  });
}

template <>
std::unique_ptr<AddKernels> make_host_kernels<AddKernels>(HostBackend& host) {
  return std::make_unique<HostAdd>(host);
}

}  // namespace normlab
