// Between plain NCHW floats and the layout of activations. Only at the edges of a graph, so simple: one
// thread for each 16 bytes, or for each float.

#include "cuda/device.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Bytes: few.
template <typename T>
__global__ void to_native_kernel(const float* values, int channels, int stride, int pixels, std::size_t count,
                                 T* to) {
  constexpr int kChannels = kWidth<T>;
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const auto vectors = static_cast<std::size_t>(stride / kChannels);
  const std::size_t pixel = i / vectors;  // of all samples
  const int first = static_cast<int>(i % vectors) * kChannels;
  const std::size_t sample = pixel / static_cast<std::size_t>(pixels);
  const std::size_t in_map = pixel % static_cast<std::size_t>(pixels);
  float v[kChannels];
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const std::size_t map = sample * static_cast<std::size_t>(channels) + static_cast<std::size_t>(first + k);
    v[k] = first + k < channels ? values[map * static_cast<std::size_t>(pixels) + in_map] : 0.0F;
  }
  store_raw(to + i * static_cast<std::size_t>(kChannels), narrow(v));
}

/// Bytes: few.
template <typename T>
__global__ void from_native_kernel(const T* from, int channels, int stride, int pixels, std::size_t count,
                                   float* values) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const std::size_t map = i / static_cast<std::size_t>(pixels), in_map = i % static_cast<std::size_t>(pixels);
  const std::size_t sample = map / static_cast<std::size_t>(channels),
                    channel = map % static_cast<std::size_t>(channels);
  values[i] =
      to_float(from[(sample * static_cast<std::size_t>(pixels) + in_map) * static_cast<std::size_t>(stride) +
                    channel]);
}

constexpr unsigned kThreads = 256;

void to_native(CudaBackend& backend, const float* values, const Tensor& to) {
  const std::size_t count = vectors(to);
  with_elements(to.type, [&](auto zero) {
    using T = decltype(zero);
    launch(to_native_kernel<T>, blocks_for(count, kThreads), kThreads, 0, backend.stream(), values,
           to.shape.c, channel_stride(to), to.shape.pixels(), count, elements<T>(to));
  });
}

void from_native(CudaBackend& backend, const Tensor& from, float* values) {
  const std::size_t count = from.shape.count();
  with_elements(from.type, [&](auto zero) {
    using T = decltype(zero);
    launch(from_native_kernel<T>, blocks_for(count, kThreads), kThreads, 0, backend.stream(),
           elements<T>(from), from.shape.c, channel_stride(from), from.shape.pixels(), count, values);
  });
}

void CudaBackend::upload(const float* values, Tensor to) {
  const std::size_t bytes = to.shape.count() * sizeof(float);
  auto* staged = static_cast<float*>(workspace(bytes));
  to_device(values, staged, bytes);
  to_native(*this, staged, to);
}

void CudaBackend::unpack(Tensor from, float* values) {
  from_native(*this, from, values);
}

void CudaBackend::download(Tensor from, float* values) {
  const std::size_t bytes = from.shape.count() * sizeof(float);
  auto* staged = static_cast<float*>(workspace(bytes));
  unpack(from, staged);
  to_host(staged, values, bytes);
}

}  // namespace normlab::NORMLAB_PLATFORM
