// 2x2 max pool. The backward pass finds the winner again from x instead of storing indices. A NaN beats all
// that come before it, as in PyTorch.

#include "layers/kernels/max_pool.hpp"
#include "host/cpu/host_kernels.hpp"

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

/// Set where a stays the largest before b: where b is neither larger nor NaN. What b is compared with is a
/// with infinity in place of NaN, so one comparison says it. (GCC takes two masks joined into one apart,
/// element by element, where it compiles for AVX-512.)
template <typename Set>
NORMLAB_INLINE Mask<Set> stays(Vec<Set> a, Vec<Set> b) {
  const Vec<Set> infinity = broadcast<Set>(__builtin_inff());
  return b <= select(infinity > a, a, infinity);
}
template <typename Set>
NORMLAB_INLINE Vec<Set> larger(Vec<Set> a, Vec<Set> b) {
  return select(stays(a, b), a, b);
}

struct Forward {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* x, int h, int w, std::ptrdiff_t pixel, T* y) {
    for (int row = 0; row < h / 2; ++row) {
      for (int column = 0; column < w / 2; ++column, y += pixel) {
        const Window k = window(row, column, w, pixel);
        store(y, larger(larger(load<Set>(x + k.at[0]), load<Set>(x + k.at[1])),
                        larger(load<Set>(x + k.at[2]), load<Set>(x + k.at[3]))));
      }
    }
  }
};

struct Backward {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* x, const T* dy, int h, int w, std::ptrdiff_t pixel, T* dx) {
    const Vec<Set> none = zero<Set>();
    for (int row = 0; row < h / 2; ++row) {
      for (int column = 0; column < w / 2; ++column, dy += pixel) {
        const Window k = window(row, column, w, pixel);
        const Vec<Set> x0 = load<Set>(x + k.at[0]), x1 = load<Set>(x + k.at[1]), x2 = load<Set>(x + k.at[2]),
                       x3 = load<Set>(x + k.at[3]);
        const Vec<Set> top = larger(x0, x1), bottom = larger(x2, x3), gradient = load<Set>(dy);
        const Mask<Set> from_top = stays(top, bottom), left_top = stays(x0, x1), left_bottom = stays(x2, x3);
        const Vec<Set> to_top = select(from_top, gradient, none);
        const Vec<Set> to_bottom = select(from_top, none, gradient);
        store(dx + k.at[0], select(left_top, to_top, none));
        store(dx + k.at[1], select(left_top, none, to_top));
        store(dx + k.at[2], select(left_bottom, to_bottom, none));
        store(dx + k.at[3], select(left_bottom, none, to_bottom));
      }
    }
    // The last row or column of an odd map is in no window.
    const auto clear = [&](int row, int column) NORMLAB_INLINE_LAMBDA {
      store(dx + (static_cast<std::ptrdiff_t>(row) * w + column) * pixel, none);
    };
    for (int row = 0; w % 2 == 1 && row < h; ++row) clear(row, w - 1);
    for (int column = 0; h % 2 == 1 && column < w; ++column) clear(h - 1, column);
  }
};

class HostMaxPool final : public HostKernels<MaxPoolKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(Tensor x, Tensor y) override;
  void backward(Tensor x, Tensor dy, Tensor dx) override;
};

}  // namespace

void HostMaxPool::forward(Tensor x, Tensor y) {
  const HostLayout from = layout(x), to = layout(y);
  with_storage(x.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < x.shape.n; ++n) {
      for (int b = 0; b < from.blocks; ++b) {
        kernel<Forward>(x.as<T>() + n * from.sample + b * from.block, x.shape.h, x.shape.w, from.pixel,
                        y.as<T>() + n * to.sample + b * to.block);
      }
    }
  });
}

void HostMaxPool::backward(Tensor x, Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const HostLayout from = layout(x), to = layout(dy);
  with_storage(x.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < x.shape.n; ++n) {
      for (int b = 0; b < from.blocks; ++b) {
        const std::ptrdiff_t i = n * from.sample + b * from.block;
        kernel<Backward>(x.as<T>() + i, dy.as<T>() + n * to.sample + b * to.block, x.shape.h, x.shape.w,
                         from.pixel, dx.as<T>() + i);
      }
    }
  });
}

template <>
std::unique_ptr<MaxPoolKernels> make_host_kernels<MaxPoolKernels>(HostBackend& host) {
  return std::make_unique<HostMaxPool>(host);
}

}  // namespace normlab
