#include <algorithm>

#include "host/cpu/host_backend.hpp"

namespace normlab {

namespace {

struct Sum {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* a, const T* b, std::ptrdiff_t count, T* y) {
    for (std::ptrdiff_t i = 0; i < count; i += kLanes) store(y + i, load<Set>(a + i) + load<Set>(b + i));
  }
};

}  // namespace

void HostBackend::add_forward(Tensor a, Tensor b, Tensor y) {
  with_storage(a.type, [&]<typename T>(Stored<T>) {
    kernel<Sum>(a.as<T>(), b.as<T>(), layout(a).sample * a.shape.n, y.as<T>());
  });
}

void HostBackend::copy(Tensor from, Tensor to) {
  with_storage(from.type, [&]<typename T>(Stored<T>) {
    std::copy_n(from.as<T>(), layout(from).sample * from.shape.n, to.as<T>());
  });
}

}  // namespace normlab
