// Under ThreadSanitizer every thread of a block is one of its threads: a race is reported in whatever order
// they run, and right kernels are silent. Without it there is nothing to see here.

#include "tests/simt/kit.hpp"

namespace simt_test {

// Bits of `left_out`: the barrier after the load, in the loop, at the end; the warp's.
__global__ void reduce_twice(const float* x, float* sums, unsigned left_out) {
  NORMLAB_SHARED(float, partial, 64);
  NORMLAB_SHARED(float, total, 1);
  for (unsigned i = 0; i < 2; ++i) {
    partial[threadIdx.x] = x[i * 64 + threadIdx.x];
    if (!(left_out & 1)) __syncthreads();
    for (unsigned distance = 32; distance > 0; distance /= 2) {
      if (threadIdx.x < distance) partial[threadIdx.x] += partial[threadIdx.x + distance];
      if (!(left_out & 2)) __syncthreads();
    }
    if (threadIdx.x == 0) *total = partial[0];
    if (!(left_out & 4)) __syncthreads();
    sums[i * 64 + threadIdx.x] = *total;
    if (!(left_out & 8)) __syncthreads();
  }
}

__global__ void swap_in_warp(const float* x, float* y, bool synchronize) {
  float* values = normlab::dynamic_shared<float>();
  values[threadIdx.x] = x[threadIdx.x];
  if (synchronize) __syncwarp();
  float value = values[threadIdx.x ^ 1];
  value += __shfl_xor_sync(0xFFFFFFFF, value, 2);
  y[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

__global__ void count_threads(int* count, bool atomically) {
  if (atomically) {
    atomicAdd(count, 1);
  } else {
    *count += 1;
  }
}

using SimtRace = Simt;
using SimtRaceDeathTest = Simt;

TEST_F(SimtRace, RightKernelsAreSilent) {
  const Array<float> x(counting(128)), y(128), z(4 * 64);
  const Array<int> count(std::vector<int>{0});
  for (int variant = 0; variant < 3; ++variant) {
    simt::set_variant(variant);
    ok(run(reduce_twice, 1, 64, 0, x.data(), y.data(), 0U));
    ok(run(reduce_twice, 1, 64, 0, x.data(), y.data(), 8U));  // that one was not needed
    ok(run(swap_in_warp, 4, 64, 256, x.data(), z.data(), true));
    ok(run(count_threads, 4, 64, 0, count.data(), true));
  }
  EXPECT_EQ(count.values()[0], 3 * 256);
  EXPECT_EQ(y.values()[0], 2080);
}

#ifdef __SANITIZE_THREAD__

// Status 66 is what ThreadSanitizer ends a program with that it reported on.

TEST_F(SimtRaceDeathTest, EveryMissingBarrierIsReported) {
  const Array<float> x(counting(128)), y(128);
  for (const unsigned left_out : {1U, 2U, 4U}) {
    SCOPED_TRACE(left_out);
    EXPECT_EXIT(
        {
          (void)run(reduce_twice, 1, 64, 0, x.data(), y.data(), left_out);
          std::exit(0);
        },
        ::testing::ExitedWithCode(66), "data race");
  }
}

TEST_F(SimtRaceDeathTest, AMissingSyncwarpAndALostUpdateAreReported) {
  const Array<float> x(counting(64)), y(64);
  const Array<int> count(std::vector<int>{0});
  EXPECT_EXIT(
      {
        (void)run(swap_in_warp, 1, 64, 256, x.data(), y.data(), false);
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race");
  EXPECT_EXIT(
      {
        (void)run(count_threads, 1, 64, 0, count.data(), false);
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race");
  EXPECT_EXIT(
      {
        (void)run(count_threads, 16, 1, 0, count.data(), false);  // one thread of each block
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race");
}

#endif

}  // namespace simt_test
