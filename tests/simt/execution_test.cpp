#include <gtest/gtest.h>
#include "device_language.hpp"
#include "tests/simt/simt.hpp"
namespace simt_test {
__global__ void add_one(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = x[i] + 1;
}
__global__ void sum(const float* x, float* y) {
  NORMLAB_SHARED(float, s, 256);
  const unsigned t = threadIdx.x;
  s[t] = x[blockIdx.x * 256 + t];
  __syncthreads();
  for (unsigned d = 128; d > 0; d /= 2) {
    if (t < d) s[t] += s[t + d];
    __syncthreads();
  }
  if (t == 0) y[blockIdx.x] = s[0];
}
template <typename... P, typename... A>
cudaError_t launch(void (*k)(P...), dim3 g, dim3 b, size_t s, cudaStream_t st, A... a) {
  std::tuple<P...> v(static_cast<P>(a)...);
  return std::apply(
      [&](auto&... e) {
        void* p[] = {static_cast<void*>(&e)...};
        return cudaLaunchKernel(k, g, b, p, s, st);
      },
      v);
}
TEST(X, Y) {
  float *x, *y;
  ASSERT_EQ(cudaMalloc(&x, 4000), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&y, 4000), cudaSuccess);
  std::vector<float> h(1000, 1), r(1000);
  ASSERT_EQ(cudaMemcpy(x, h.data(), 4000, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(launch(add_one, 4, 256, 0, nullptr, x, y, 1000), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(r.data(), y, 4000, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(r[999], 2);
  ASSERT_EQ(launch(sum, 3, 256, 0, nullptr, x, y), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(r.data(), y, 4000, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(r[2], 256);
  for (auto& [n, c] : simt::kernels()) std::printf("%s %lu\n", n.c_str(), c);
  cudaFree(x);
  cudaFree(y);
}
}  // namespace simt_test
