#include <algorithm>

#include "host/host_backend.hpp"

namespace normlab {

namespace {

NORMLAB_INLINE void add(const float* a, const float* b, std::ptrdiff_t count, float* y) {
  for (std::ptrdiff_t i = 0; i < count; i += kLanes) store(y + i, load(a + i) + load(b + i));
}

}  // namespace

void HostBackend::add_forward(Tensor a, Tensor b, Tensor y) {
  kernel<add>(a.data, b.data, layout(a).sample * a.shape.n, y.data);
}

void HostBackend::copy(Tensor from, Tensor to) {
  std::copy_n(from.data, layout(from).sample * from.shape.n, to.data);
}

}  // namespace normlab
