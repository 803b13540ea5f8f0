// 2x2 max pool. The backward pass finds the winner again from x instead of storing indices.

#include "host/host_backend.hpp"

namespace normlab {

namespace {

/// Offsets of the four pixels of a window, in row order.
struct Window {
  std::ptrdiff_t at[4];
};

NORMLAB_INLINE Window window(int row, int column, int w, std::ptrdiff_t pixel) {
  const std::ptrdiff_t first = (static_cast<std::ptrdiff_t>(2 * row) * w + 2 * column) * pixel;
  return {{first, first + pixel, first + w * pixel, first + (w + 1) * pixel}};
}

NORMLAB_INLINE Vec larger(Vec a, Vec b) {
  return b > a ? b : a;
}

NORMLAB_INLINE void forward(const float* x, int h, int w, std::ptrdiff_t pixel, float* y) {
  for (int row = 0; row < h / 2; ++row) {
    for (int column = 0; column < w / 2; ++column, y += pixel) {
      const Window k = window(row, column, w, pixel);
      store(y, larger(larger(load(x + k.at[0]), load(x + k.at[1])),
                      larger(load(x + k.at[2]), load(x + k.at[3]))));
    }
  }
}

NORMLAB_INLINE void backward(const float* x, const float* dy, int h, int w, std::ptrdiff_t pixel, float* dx) {
  for (int row = 0; row < h / 2; ++row) {
    for (int column = 0; column < w / 2; ++column, dy += pixel) {
      const Window k = window(row, column, w, pixel);
      const Vec x0 = load(x + k.at[0]), x1 = load(x + k.at[1]), x2 = load(x + k.at[2]),
                x3 = load(x + k.at[3]);
      const Vec top = larger(x0, x1), bottom = larger(x2, x3), gradient = load(dy);
      const VecInt from_bottom = bottom > top;
      const VecInt right_top = x1 > x0, right_bottom = x3 > x2;
      const Vec to_top = from_bottom ? zero() : gradient, to_bottom = from_bottom ? gradient : zero();
      store(dx + k.at[0], right_top ? zero() : to_top);
      store(dx + k.at[1], right_top ? to_top : zero());
      store(dx + k.at[2], right_bottom ? zero() : to_bottom);
      store(dx + k.at[3], right_bottom ? to_bottom : zero());
    }
  }
}

/// The last row or column of an odd map is in no window.
void clear_edges(const HostLayout& at, int h, int w, float* dx) {
  const auto clear = [&](int row, int column) {
    store(dx + (static_cast<std::ptrdiff_t>(row) * w + column) * at.pixel, zero());
  };
  if (w % 2 == 1) {
    for (int row = 0; row < h; ++row) clear(row, w - 1);
  }
  if (h % 2 == 1) {
    for (int column = 0; column < w; ++column) clear(h - 1, column);
  }
}

}  // namespace

void HostBackend::max_pool_forward(Tensor x, Tensor y) {
  const HostLayout from = layout(x), to = layout(y);
  for (int n = 0; n < x.shape.n; ++n) {
    for (int b = 0; b < from.blocks; ++b) {
      kernel<forward>(x.data + n * from.sample + b * from.block, x.shape.h, x.shape.w, from.pixel,
                      y.data + n * to.sample + b * to.block);
    }
  }
}

void HostBackend::max_pool_backward(Tensor x, Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const HostLayout from = layout(x), to = layout(dy);
  for (int n = 0; n < x.shape.n; ++n) {
    for (int b = 0; b < from.blocks; ++b) {
      const std::ptrdiff_t i = n * from.sample + b * from.block;
      kernel<backward>(x.data + i, dy.data + n * to.sample + b * to.block, x.shape.h, x.shape.w, from.pixel,
                       dx.data + i);
      clear_edges(from, x.shape.h, x.shape.w, dx.data + i);
    }
  }
}

}  // namespace normlab
