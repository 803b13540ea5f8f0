#include "host/host_backend.hpp"

namespace normlab {

namespace {

NORMLAB_INLINE void forward(const float* x, std::ptrdiff_t count, float* y) {
  for (std::ptrdiff_t i = 0; i < count; i += kLanes) store(y + i, positive(load(x + i)));
}

NORMLAB_INLINE void backward(const float* y, const float* dy, std::ptrdiff_t count, float* dx) {
  for (std::ptrdiff_t i = 0; i < count; i += kLanes)
    store(dx + i, load(y + i) > 0.0F ? load(dy + i) : zero());
}

}  // namespace

void HostBackend::relu_forward(Tensor x, Tensor y) {
  kernel<forward>(x.data, layout(x).sample * x.shape.n, y.data);
}

void HostBackend::relu_backward(Tensor y, Tensor dy, Tensor dx) {
  if (!dx.empty()) kernel<backward>(y.data, dy.data, layout(y).sample * y.shape.n, dx.data);
}

}  // namespace normlab
