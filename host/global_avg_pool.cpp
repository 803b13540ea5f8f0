#include "host/host_backend.hpp"
#include "host/normalize.hpp"

namespace normlab {

namespace {

NORMLAB_INLINE void average(const float* x, std::ptrdiff_t pixels, std::ptrdiff_t stride, float* y) {
  store(y, sum_shifted({x, pixels, stride}, zero()) / static_cast<float>(pixels));
}

NORMLAB_INLINE void spread(const float* dy, std::ptrdiff_t pixels, std::ptrdiff_t stride, float* dx) {
  const Vec share = load(dy) / static_cast<float>(pixels);
  for (std::ptrdiff_t p = 0; p < pixels; ++p) store(dx + p * stride, share);
}

}  // namespace

void HostBackend::global_avg_pool_forward(Tensor x, Tensor y) {
  const HostLayout from = layout(x), to = layout(y);
  for (int n = 0; n < x.shape.n; ++n) {
    for (int b = 0; b < from.blocks; ++b) {
      kernel<average>(x.data + n * from.sample + b * from.block, from.pixels, from.pixel,
                      y.data + n * to.sample + b * to.block);
    }
  }
}

void HostBackend::global_avg_pool_backward(Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const HostLayout from = layout(dy), to = layout(dx);
  for (int n = 0; n < dx.shape.n; ++n) {
    for (int b = 0; b < to.blocks; ++b) {
      kernel<spread>(dy.data + n * from.sample + b * from.block, to.pixels, to.pixel,
                     dx.data + n * to.sample + b * to.block);
    }
  }
}

}  // namespace normlab
