#include "host/host_backend.hpp"

namespace normlab {

namespace {

/// Calls visit(padded pixel, source pixel) for every pixel of the padded map.
template <typename Visit>
void for_padded_pixels(int h, int w, Visit&& visit) {
  for (int row = 0; row < h + 2; ++row) {
    for (int column = 0; column < w + 2; ++column) {
      visit(row * (w + 2) + column, (row + h - 1) % h * w + (column + w - 1) % w);
    }
  }
}

}  // namespace

void HostBackend::circular_pad_forward(Tensor x, Tensor y) {
  const HostLayout from = layout(x), to = layout(y);
  for (int n = 0; n < x.shape.n; ++n) {
    for (int b = 0; b < from.blocks; ++b) {
      for_padded_pixels(x.shape.h, x.shape.w, [&](int padded, int source) {
        store(y.data + to.at(n, b * kLanes, padded), load(x.data + from.at(n, b * kLanes, source)));
      });
    }
  }
}

void HostBackend::circular_pad_backward(Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const HostLayout from = layout(dy), to = layout(dx);
  clear(dx.data, static_cast<std::size_t>(to.sample * dx.shape.n) * sizeof(float));
  for (int n = 0; n < dx.shape.n; ++n) {
    for (int b = 0; b < to.blocks; ++b) {
      for_padded_pixels(dx.shape.h, dx.shape.w, [&](int padded, int source) {
        float* sum = dx.data + to.at(n, b * kLanes, source);
        store(sum, load(sum) + load(dy.data + from.at(n, b * kLanes, padded)));
      });
    }
  }
}

}  // namespace normlab
