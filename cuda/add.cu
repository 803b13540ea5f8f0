// y = a + b, and copies. Bytes: both inputs in, y out.

#include "cuda/device.hpp"
#include "layers/kernels/add.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// y may be a or b, so nothing here is read through the read-only cache. Bytes: a and b in, y out; 90 % of
/// what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    add_kernel(const T* a, const T* b, std::size_t count, T* y) {
  constexpr auto kChannels = static_cast<std::size_t>(kWidth<T>);
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float sum[kWidth<T>], term[kWidth<T>];
  widen(*reinterpret_cast<const Raw*>(a + i * kChannels), sum);
  widen(*reinterpret_cast<const Raw*>(b + i * kChannels), term);
  NORMLAB_UNROLL
  for (int k = 0; k < kWidth<T>; ++k) sum[k] += term[k];
  store_raw(y + i * kChannels, narrow(sum));
}

namespace {

class CudaAdd final : public CudaKernels<AddKernels> {
 public:
  using CudaKernels::CudaKernels;
  void forward(Tensor a, Tensor b, Tensor y) override;
};

}  // namespace

void CudaAdd::forward(Tensor a, Tensor b, Tensor y) {
  const std::size_t count = vectors(a);
  with_elements(a.type, [&](auto zero) {
    using T = decltype(zero);
    launch(add_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, stream(), elements<T>(a),
           elements<T>(b), count, elements<T>(y));
  });
}

void CudaBackend::copy(Tensor from, Tensor to) {
  copy_bytes(from.data, to.data, vectors(from) * sizeof(Raw));
}

template <>
std::unique_ptr<AddKernels> make_cuda_kernels<AddKernels>(CudaBackend& backend) {
  return std::make_unique<CudaAdd>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
