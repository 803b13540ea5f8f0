// Device memory: what is in it, who may touch it, and what is caught.

#include <algorithm>
#include <cmath>

#include "tests/simt/kit.hpp"

namespace simt_test {

struct Holder {
  int n;
  float* data;
};

__global__ void add_one(float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += 1;
}
__global__ void add_one_in(Holder holder) {
  holder.data[threadIdx.x] += 1;
}
__global__ void write_at(float* x, int at) {
  x[at] = 5;
}
__global__ void write_shared(float* y, int at) {
  NORMLAB_SHARED(float, values, 10);
  float* through = values;  // UndefinedBehaviorSanitizer knows the array's bounds
  through[at] = 1;
  *y = through[at];
}
__global__ void write_dynamic(int at) {
  normlab::dynamic_shared<float>()[at] = 1;
}
__global__ void load_four(const float* x, float* y) {
  *y = reinterpret_cast<const float4*>(x)->w;  // NOLINT
}
__global__ void overflow_stack(int depth, int* y) {
  volatile int large[1000];
  large[0] = depth;
  if (depth > 0) overflow_stack(depth - 1, y);
  *y += large[0];
}

using SimtMemory = Simt;
using SimtMemoryDeathTest = Simt;

TEST_F(SimtMemory, FreshMemoryIsNan) {
  const Array<float> x(1000);
  for (const float value : x.values()) EXPECT_TRUE(std::isnan(value));
  float* pinned = nullptr;
  ok(cudaMallocHost(&pinned, 40));
  EXPECT_TRUE(std::all_of(pinned, pinned + 10, [](float value) { return std::isnan(value); }));
  ok(cudaFreeHost(pinned));
}

TEST_F(SimtMemory, CopiesAndFills) {
  const Array<float> x(counting(100)), y(100);
  ok(cudaMemcpy(y.data(), x.data(), 400, cudaMemcpyDeviceToDevice));
  EXPECT_EQ(y.values(), counting(100));
  ok(cudaMemset(y.data() + 10, 0, 40));
  EXPECT_EQ(y.values()[9], 10);
  EXPECT_EQ(y.values()[10], 0);
  std::vector<float> corner(6);
  ok(cudaMemcpy2DAsync(corner.data(), 12, x.data(), 40, 12, 2, cudaMemcpyDefault));
  ok(cudaDeviceSynchronize());
  EXPECT_EQ(corner, (std::vector<float>{1, 2, 3, 11, 12, 13}));
}

TEST_F(SimtMemory, ThereIsOnlySoMuch) {
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, std::size_t{17} << 30), cudaErrorMemoryAllocation);
  EXPECT_EQ(data, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  ok(cudaDeviceSynchronize());
}

TEST_F(SimtMemory, PointersOfTheHostAreNoneOfTheDevice) {
  std::vector<float> host(64);
  EXPECT_EQ(run(add_one, 1, 64, 0, host.data(), 64), cudaErrorIllegalAddress);
  EXPECT_TRUE(contains(simt::report(), "simt_test::add_one: argument 0: ")) << simt::report();
  EXPECT_TRUE(contains(simt::report(), "is a pointer of the host")) << simt::report();
  simt::reset();
  EXPECT_EQ(run(add_one_in, 1, 64, 0, Holder{64, host.data()}), cudaErrorIllegalAddress);
  EXPECT_TRUE(contains(simt::report(), "argument 0 (byte 8 of it)")) << simt::report();
  simt::reset();
  float local[64] = {};
  EXPECT_EQ(run(add_one_in, 1, 64, 0, Holder{64, local}), cudaErrorIllegalAddress);
  simt::reset();
  const Array<float> x(counting(64));
  ok(run(add_one_in, 1, 64, 0, Holder{64, x.data()}));
  ok(run(add_one_in, 1, 64, 0, Holder{64, x.data()}));
  EXPECT_EQ(x.values()[3], 6);
  float* pinned = nullptr;
  ok(cudaMallocHost(&pinned, 256));
  std::fill_n(pinned, 64, 1.0F);
  ok(run(add_one, 1, 64, 0, pinned, 64));
  EXPECT_EQ(pinned[63], 2);
  ok(cudaFreeHost(pinned));
}

TEST_F(SimtMemory, FreedMemory) {
  float* gone = nullptr;
  ok(cudaMalloc(&gone, 256));
  ok(cudaFree(gone));
  EXPECT_EQ(run(add_one, 1, 64, 0, gone, 64), cudaErrorIllegalAddress);
  EXPECT_TRUE(contains(simt::report(), "freed, or never there")) << simt::report();
  simt::reset();
  EXPECT_EQ(cudaFree(gone), cudaErrorInvalidValue);
  (void)cudaGetLastError();
}

TEST_F(SimtMemory, CopiesAreCheckedAtBothEnds) {
  const Array<float> x(64);
  std::vector<float> host(128);
  EXPECT_EQ(cudaMemcpy(x.data(), host.data(), 65 * 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_TRUE(contains(simt::report(), "go beyond the end of device allocation")) << simt::report();
  EXPECT_EQ(cudaMemcpy(host.data(), x.data() + 1, 64 * 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), x.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), host.data() + 64, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host.data(), 0, 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(x.data(), 0, 300), cudaErrorInvalidValue);
  ok(cudaDeviceSynchronize());
  (void)cudaGetLastError();
}

TEST_F(SimtMemory, WhatIsNotFreedIsKnown) {
  float *x = nullptr, *y = nullptr;
  ok(cudaMalloc(&x, 1000));
  ok(cudaHostAlloc(&y, 1000, cudaHostAllocDefault));
  EXPECT_EQ(simt::live_allocations(), 2U);
  EXPECT_EQ(simt::live_bytes(), 1000U);
  ok(cudaFree(x));
  ok(cudaFreeHost(y));
}

#if !defined(__SANITIZE_ADDRESS__)

TEST_F(SimtMemory, WritesAroundAnAllocationAreReportedWithTheKernel) {
  for (const int at : {-1, -64, 101, 103}) {
    const Array<float> x(101);
    EXPECT_EQ(run(write_at, 1, 1, 0, x.data(), at), cudaErrorIllegalAddress) << at;
    EXPECT_TRUE(contains(simt::report(), "simt_test::write_at: wrote ")) << simt::report();
    {
      const simt::DeviceAccess access;  // mends it
      std::fill_n(reinterpret_cast<unsigned char*>(x.data() + at), 4, 0xA7);
    }
    simt::reset();
  }
}

TEST_F(SimtMemory, WritesBesideSharedArraysAreReported) {
  const Array<float> y(1);
  ok(run(write_shared, 1, 1, 0, y.data(), 9));
  EXPECT_EQ(run(write_shared, 1, 1, 0, y.data(), 10), cudaErrorLaunchFailure);
  EXPECT_TRUE(contains(simt::report(), "outside of its arrays in shared memory")) << simt::report();
  simt::reset();
  ok(run(write_dynamic, 1, 1, 40, 9));
  EXPECT_EQ(run(write_dynamic, 1, 1, 40, 10), cudaErrorLaunchFailure);
}

#endif

#if !defined(__SANITIZE_THREAD__)

TEST_F(SimtMemoryDeathTest, TheHostCannotTouchDeviceMemory) {
  const Array<float> x(counting(8));
  [[maybe_unused]] volatile float value = 0;
#if defined(__SANITIZE_ADDRESS__)
  EXPECT_DEATH(value = x.data()[0], "SEGV");
  EXPECT_DEATH(x.data()[0] = 1, "SEGV");
#else
  EXPECT_DEATH(value = x.data()[0], "device memory was touched by code of the host");
  EXPECT_DEATH(x.data()[0] = 1, "device memory was touched by code of the host");
#endif
}

TEST_F(SimtMemoryDeathTest, FarOutsideIsAPageThatNobodyMayTouch) {
  const Array<float> x(counting(64));
  EXPECT_DEATH((void)run(write_at, 1, 1, 0, x.data(), 64), "");
}

#endif

#if defined(__SANITIZE_ADDRESS__)

TEST_F(SimtMemoryDeathTest, AddressSanitizerSeesEveryAccess) {
  const Array<float> x(counting(61)), y(1);
  EXPECT_DEATH((void)run(write_at, 1, 1, 0, x.data(), 61), "use-after-poison");
  EXPECT_DEATH((void)run(write_at, 1, 1, 0, x.data(), -1), "use-after-poison");
  EXPECT_DEATH((void)run(write_shared, 1, 1, 0, y.data(), 10), "use-after-poison");
  EXPECT_DEATH((void)run(write_shared, 1, 1, 0, y.data(), -1), "AddressSanitizer");
  EXPECT_DEATH((void)run(write_dynamic, 1, 1, 40, 10), "use-after-poison");
  int* depth = nullptr;
  ok(cudaMalloc(&depth, 4));
  EXPECT_DEATH((void)run(overflow_stack, 1, 1, 0, 1000, depth), "stack-overflow|SEGV");
  ok(cudaFree(depth));
}

TEST_F(SimtMemoryDeathTest, MisalignedVectorsAreSeen) {
  const Array<float> x(counting(64)), y(1);
  ok(run(load_four, 1, 1, 0, x.data() + 4, y.data()));
  EXPECT_EQ(y.values()[0], 8);
  EXPECT_DEATH((void)run(load_four, 1, 1, 0, x.data() + 1, y.data()), "misaligned address");
}

#endif

}  // namespace simt_test
