// One pixel of wrap-around on each side. One thread for 16 bytes of channels of one pixel that is written.

#include "cuda/device.hpp"
#include "layers/kernels/circular_pad.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// A thread's pixel in a map of h x w.
struct MapPixel {
  unsigned row, column;
  std::size_t sample, channel;

  template <int kChannels>
  __device__ static MapPixel at(unsigned i, unsigned vectors, unsigned h, unsigned w) {
    const unsigned pixel = i / vectors;
    return {pixel / w % h, pixel % w, pixel / w / h, static_cast<std::size_t>(i % vectors) * kChannels};
  }
};

/// x is h x w, y two more each way. Bytes: x in, y out; 80 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    circular_pad_forward_kernel(const T* x, unsigned vectors, unsigned h, unsigned w, unsigned count, T* y) {
  constexpr int kChannels = kWidth<T>;
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const MapPixel k = MapPixel::at<kChannels>(i, vectors, h + 2, w + 2);
  const unsigned row = (k.row + h - 1) % h, column = (k.column + w - 1) % w;
  const std::size_t pixel = (k.sample * h + row) * w + column;
  store_raw(y + static_cast<std::size_t>(i) * kChannels,
            load_raw(x + pixel * vectors * kChannels + k.channel));
}

/// Padded row p came from row (p + h - 1) % h: those of one row are h apart. Columns likewise.
/// Bytes: dy in, dx out; 80 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    circular_pad_backward_kernel(const T* dy, unsigned vectors, unsigned h, unsigned w, unsigned count,
                                 T* dx) {
  constexpr int kChannels = kWidth<T>;
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const MapPixel k = MapPixel::at<kChannels>(i, vectors, h, w);
  float sum[kChannels] = {}, term[kChannels];
  for (unsigned row = (k.row + 1) % h; row < h + 2; row += h) {
    for (unsigned column = (k.column + 1) % w; column < w + 2; column += w) {
      const std::size_t pixel = (k.sample * (h + 2) + row) * (w + 2) + column;
      widen(load_raw(dy + pixel * vectors * kChannels + k.channel), term);
      NORMLAB_UNROLL
      for (int c = 0; c < kChannels; ++c) sum[c] += term[c];
    }
  }
  store_raw(dx + static_cast<std::size_t>(i) * kChannels, narrow(sum));
}

namespace {

class CudaCircularPad final : public CudaKernels<CircularPadKernels> {
 public:
  using CudaKernels::CudaKernels;
  void forward(Tensor x, Tensor y) override;
  void backward(Tensor dy, Tensor dx) override;
};

}  // namespace

void CudaCircularPad::forward(Tensor x, Tensor y) {
  const unsigned count = index_count(vectors(y));
  with_elements(x.type, [&](auto zero) {
    using T = decltype(zero);
    launch(circular_pad_forward_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, stream(),
           elements<T>(x), padded(x.shape.c) / kWidth<T>, x.shape.h, x.shape.w, count, elements<T>(y));
  });
}

void CudaCircularPad::backward(Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const unsigned count = index_count(vectors(dx));
  with_elements(dx.type, [&](auto zero) {
    using T = decltype(zero);
    launch(circular_pad_backward_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, stream(),
           elements<T>(dy), padded(dx.shape.c) / kWidth<T>, dx.shape.h, dx.shape.w, count, elements<T>(dx));
  });
}

template <>
std::unique_ptr<CircularPadKernels> make_cuda_kernels<CircularPadKernels>(CudaBackend& backend) {
  return std::make_unique<CudaCircularPad>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
