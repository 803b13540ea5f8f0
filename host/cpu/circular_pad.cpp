#include "layers/kernels/circular_pad.hpp"
#include "host/cpu/host_kernels.hpp"

namespace normlab {

namespace {

struct Forward {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* x, int h, int w, std::ptrdiff_t pixel, T* y) {
    for (int row = 0; row < h + 2; ++row) {
      for (int column = 0; column < w + 2; ++column, y += pixel) {
        const std::ptrdiff_t source = (row + h - 1) % h * w + (column + w - 1) % w;
        store(y, load<Set>(x + source * pixel));
      }
    }
  }
};

struct Backward {
  /// Padded row `p` came from row (p + h - 1) % h: those of one row are h apart. Columns likewise.
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* dy, int h, int w, std::ptrdiff_t pixel, T* dx) {
    for (int row = 0; row < h; ++row) {
      for (int column = 0; column < w; ++column, dx += pixel) {
        Vec<Set> sum = zero<Set>();
        for (int from_row = (row + 1) % h; from_row < h + 2; from_row += h) {
          for (int from_column = (column + 1) % w; from_column < w + 2; from_column += w) {
            sum += load<Set>(dy + (static_cast<std::ptrdiff_t>(from_row) * (w + 2) + from_column) * pixel);
          }
        }
        store(dx, sum);
      }
    }
  }
};

class HostCircularPad final : public HostKernels<CircularPadKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(Tensor x, Tensor y) override;
  void backward(Tensor dy, Tensor dx) override;
};

}  // namespace

void HostCircularPad::forward(Tensor x, Tensor y) {
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

void HostCircularPad::backward(Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const HostLayout from = layout(dy), to = layout(dx);
  with_storage(dy.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < dx.shape.n; ++n) {
      for (int b = 0; b < to.blocks; ++b) {
        kernel<Backward>(dy.as<T>() + n * from.sample + b * from.block, dx.shape.h, dx.shape.w, to.pixel,
                         dx.as<T>() + n * to.sample + b * to.block);
      }
    }
  });
}

template <>
std::unique_ptr<CircularPadKernels> make_host_kernels<CircularPadKernels>(HostBackend& host) {
  return std::make_unique<HostCircularPad>(host);
}

}  // namespace normlab
