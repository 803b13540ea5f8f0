// 2x2 max pool, stride 2; the first maximum in row order wins, and a NaN beats all before it, as in PyTorch.
// The backward pass finds the winner again from x instead of storing indices. One thread for 16 bytes of
// channels of one window. cuDNN's own pool is not deterministic on the way back.

#include "cuda/device.hpp"
#include "layers/kernels/max_pool.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// A thread asks for 64 or 80 bytes: fewer blocks on an SM do.
inline constexpr unsigned kPoolBlocks = 4;

/// Where a thread's window lies; offsets in elements.
struct PoolWindow {
  unsigned row, column;
  std::size_t x[4];  ///< the four pixels, in row order
  std::size_t y;

  /// Of window i, for maps of h x w pixels with `rows` x `columns` windows.
  template <int kChannels>
  __device__ static PoolWindow at(unsigned i, unsigned vectors, unsigned rows, unsigned columns, unsigned h,
                                  unsigned w) {
    const unsigned vector = i % vectors, window = i / vectors;
    PoolWindow k{};
    k.column = window % columns;
    k.row = window / columns % rows;
    const std::size_t sample = window / columns / rows;
    const std::size_t pixel = static_cast<std::size_t>(vectors) * kChannels;
    const std::size_t channel = static_cast<std::size_t>(vector) * kChannels;
    const std::size_t first = (sample * h + 2 * k.row) * w + 2 * k.column;
    k.x[0] = first * pixel + channel;
    k.x[1] = k.x[0] + pixel;
    k.x[2] = k.x[0] + w * pixel;
    k.x[3] = k.x[2] + pixel;
    k.y = ((sample * (h / 2) + k.row) * (w / 2) + k.column) * pixel + channel;
    return k;
  }
};

/// Whether b takes the place of a as the largest.
__device__ inline bool exceeds(float b, float a) {
  return b > a || b != b;
}

/// Bytes: x in, y out; 85 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kPoolBlocks)
    max_pool_forward_kernel(const T* x, unsigned vectors, unsigned h, unsigned w, unsigned count, T* y) {
  constexpr int kChannels = kWidth<T>;
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const PoolWindow k = PoolWindow::at<kChannels>(i, vectors, h / 2, w / 2, h, w);
  float largest[kChannels], other[kChannels];
  widen(load_raw(x + k.x[0]), largest);
  NORMLAB_UNROLL
  for (int corner = 1; corner < 4; ++corner) {
    widen(load_raw(x + k.x[corner]), other);
    NORMLAB_UNROLL
    for (int c = 0; c < kChannels; ++c) largest[c] = exceeds(other[c], largest[c]) ? other[c] : largest[c];
  }
  store_raw(y + k.y, narrow(largest));
}

/// One thread for each window, and for what an odd last row or column leaves over: that gets zeros.
/// Bytes: x and dy in, dx out; 80 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kPoolBlocks)
    max_pool_backward_kernel(const T* x, const T* dy, unsigned vectors, unsigned h, unsigned w,
                             unsigned count, T* dx) {
  constexpr int kChannels = kWidth<T>;
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const PoolWindow k = PoolWindow::at<kChannels>(i, vectors, (h + 1) / 2, (w + 1) / 2, h, w);
  const bool has_right = 2 * k.column + 1 < w, has_below = 2 * k.row + 1 < h;
  if (!has_right || !has_below) {
    const Raw none{0, 0, 0, 0};
    store_raw(dx + k.x[0], none);
    if (has_right) store_raw(dx + k.x[1], none);
    if (has_below) store_raw(dx + k.x[2], none);
    return;
  }
  float value[4][kChannels], gradient[kChannels], out[kChannels];
  NORMLAB_UNROLL
  for (int corner = 0; corner < 4; ++corner) widen(load_raw(x + k.x[corner]), value[corner]);
  widen(load_raw(dy + k.y), gradient);
  int winner[kChannels];
  NORMLAB_UNROLL
  for (int c = 0; c < kChannels; ++c) {
    float largest = value[0][c];
    winner[c] = 0;
    NORMLAB_UNROLL
    for (int corner = 1; corner < 4; ++corner) {
      const bool wins = exceeds(value[corner][c], largest);
      winner[c] = wins ? corner : winner[c];
      largest = wins ? value[corner][c] : largest;
    }
  }
  NORMLAB_UNROLL
  for (int corner = 0; corner < 4; ++corner) {
    NORMLAB_UNROLL
    for (int c = 0; c < kChannels; ++c) out[c] = winner[c] == corner ? gradient[c] : 0.0F;
    store_raw(dx + k.x[corner], narrow(out));
  }
}

namespace {

template <typename T>
unsigned vectors_of(const Tensor& x) {
  return static_cast<unsigned>(padded(x.shape.c) / kWidth<T>);
}

}  // namespace

namespace {

class CudaMaxPool final : public CudaKernels<MaxPoolKernels> {
 public:
  using CudaKernels::CudaKernels;
  void forward(Tensor x, Tensor y) override;
  void backward(Tensor x, Tensor dy, Tensor dx) override;
};

}  // namespace

void CudaMaxPool::forward(Tensor x, Tensor y) {
  const unsigned count = index_count(vectors(y));
  with_elements(x.type, [&](auto zero) {
    using T = decltype(zero);
    launch(max_pool_forward_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, stream(),
           elements<T>(x), vectors_of<T>(x), x.shape.h, x.shape.w, count, elements<T>(y));
  });
}

void CudaMaxPool::backward(Tensor x, Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  with_elements(x.type, [&](auto zero) {
    using T = decltype(zero);
    const auto windows = static_cast<std::size_t>(x.shape.n) * static_cast<std::size_t>((x.shape.h + 1) / 2) *
                         static_cast<std::size_t>((x.shape.w + 1) / 2);
    const unsigned count = index_count(windows * vectors_of<T>(x));
    launch(max_pool_backward_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, stream(),
           elements<T>(x), elements<T>(dy), vectors_of<T>(x), x.shape.h, x.shape.w, count, elements<T>(dx));
  });
}

template <>
std::unique_ptr<MaxPoolKernels> make_cuda_kernels<MaxPoolKernels>(CudaBackend& backend) {
  return std::make_unique<CudaMaxPool>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
