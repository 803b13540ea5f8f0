// The mean over all pixels of each channel, and its gradient.

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"
#include "layers/kernels/global_avg_pool.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// A block for each sample and up to 32 vectors of channels. Bytes: x in; 80 % of what memory delivers.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, 4)
    global_avg_pool_forward_kernel(const T* x, Walk walk, int pixels, int stride, T* y) {
  constexpr int kChannels = kWidth<T>;
  auto* scratch = dynamic_shared<float>();
  float* sums = scratch + walk.scratch(kChannels);
  const int thread = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.x) * walk.vectors * kChannels;  // the block's first channel
  const int channel = first + thread % walk.vectors * kChannels, row = thread / walk.vectors;
  const T* map = x + static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(pixels) *
                         static_cast<std::size_t>(stride);
  LongSums<kChannels> sum_of;
  if (row < walk.rows && channel < stride) {
    for_pixels(
        row, pixels, walk.rows,
        [&](int p) {
          return load_raw(map + static_cast<std::size_t>(p) * static_cast<std::size_t>(stride) + channel);
        },
        [&](int, Raw raw) {
          float v[kChannels];
          widen(raw, v);
          sum_of.next();
          NORMLAB_UNROLL
          for (int k = 0; k < kChannels; ++k) sum_of.add(k, v[k]);
        });
  }
  float sum[kChannels];
  sum_of.finish(sum);
  sum_rows(sum, walk, scratch, sums);
  if (row == 0 && channel < stride) {
    float mean[kChannels];
    NORMLAB_UNROLL
    for (int k = 0; k < kChannels; ++k) mean[k] = sums[channel - first + k] / static_cast<float>(pixels);
    store_raw(y + static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(stride) + channel,
              narrow(mean));
  }
}

/// Bytes: dx out, and the few of dy in; 80 % of what memory takes.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    global_avg_pool_backward_kernel(const T* dy, unsigned vectors, unsigned pixels, unsigned count, T* dx) {
  constexpr int kChannels = kWidth<T>;
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const std::size_t sample = i / vectors / pixels, vector = i % vectors;
  float v[kChannels];
  widen(load_raw(dy + (sample * vectors + vector) * kChannels), v);
  NORMLAB_UNROLL
  for (float& value : v) value /= static_cast<float>(pixels);
  store_raw(dx + static_cast<std::size_t>(i) * kChannels, narrow(v));
}

namespace {

class CudaGlobalAvgPool final : public CudaKernels<GlobalAvgPoolKernels> {
 public:
  using CudaKernels::CudaKernels;
  void forward(Tensor x, Tensor y) override;
  void backward(Tensor dy, Tensor dx) override;
};

}  // namespace

void CudaGlobalAvgPool::forward(Tensor x, Tensor y) {
  constexpr int kMostVectors = 32;
  with_elements(x.type, [&](auto zero) {
    using T = decltype(zero);
    const int stride = padded(x.shape.c), all = stride / kWidth<T>;
    const Walk walk = Walk::plan(all < kMostVectors ? all : kMostVectors, x.shape.pixels(), kMapThreads);
    const std::size_t floats = static_cast<std::size_t>(walk.scratch(kWidth<T>)) +
                               static_cast<std::size_t>(walk.vectors * kWidth<T>);
    launch(global_avg_pool_forward_kernel<T>,
           dim3(static_cast<unsigned>(divide_up(all, walk.vectors)), static_cast<unsigned>(x.shape.n)),
           static_cast<unsigned>(walk.threads()), floats * sizeof(float), stream(), elements<T>(x), walk,
           x.shape.pixels(), stride, elements<T>(y));
  });
}

void CudaGlobalAvgPool::backward(Tensor dy, Tensor dx) {
  if (dx.empty()) return;
  const unsigned count = index_count(vectors(dx));
  with_elements(dx.type, [&](auto zero) {
    using T = decltype(zero);
    launch(global_avg_pool_backward_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, stream(),
           elements<T>(dy), padded(dx.shape.c) / kWidth<T>, dx.shape.pixels(), count, elements<T>(dx));
  });
}

template <>
std::unique_ptr<GlobalAvgPoolKernels> make_cuda_kernels<GlobalAvgPoolKernels>(CudaBackend& backend) {
  return std::make_unique<CudaGlobalAvgPool>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
