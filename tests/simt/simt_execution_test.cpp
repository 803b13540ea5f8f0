// Grids, blocks, warps and shared memory: right kernels give right results whatever the order, and every
// misuse that is promised to be reported is.

#include <cmath>
#include <numeric>
#include <thread>

#include "tests/simt/kit.hpp"

namespace simt_test {
namespace {

unsigned linear_thread() {
  return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}
unsigned linear_block() {
  return (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
}

}  // namespace

// In a named namespace, so that reports can name them.

__global__ void write_place(unsigned* count, unsigned threads) {
  atomicAdd(&count[linear_block() * threads + linear_thread()], 1U);
}

__global__ void reverse(const float* x, float* y) {
  NORMLAB_SHARED(float, tile, 100);
  tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

__global__ void sum_by_block(const float* x, float* sums) {
  float* partial = normlab::dynamic_shared<float>();
  partial[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  for (unsigned distance = blockDim.x / 2; distance > 0; distance /= 2) {
    if (threadIdx.x < distance) partial[threadIdx.x] += partial[threadIdx.x + distance];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

__global__ void unset_memory(float* y) {
  NORMLAB_SHARED(float, values, 8);
  NORMLAB_SHARED(double, wide, 4);
  y[threadIdx.x] = values[threadIdx.x] + static_cast<float>(wide[threadIdx.x % 4]);
  __syncthreads();
  values[threadIdx.x] = 1;
  wide[threadIdx.x % 4] = 1;
}

struct WarpResults {
  int shuffled, up, down, exchanged, narrow, any, all;
  unsigned ballot;
  double wide;
};
__global__ void use_warp(WarpResults* results) {
  const int lane = static_cast<int>(threadIdx.x % 32), value = 100 + lane;
  WarpResults& r = results[threadIdx.x];
  r.shuffled = __shfl_sync(0xFFFFFFFF, value, 5);
  r.up = __shfl_up_sync(0xFFFFFFFF, value, 3);
  r.down = __shfl_down_sync(0xFFFFFFFF, value, 3);
  r.exchanged = __shfl_xor_sync(0xFFFFFFFF, value, 16);
  r.narrow = __shfl_down_sync(0xFFFFFFFF, value, 1, 4);
  r.any = __any_sync(0xFFFFFFFF, lane == 7);
  r.all = __all_sync(0xFFFFFFFF, lane < 31);
  r.ballot = __ballot_sync(0xFFFFFFFF, lane % 2);
  r.wide = __shfl_xor_sync(0xFFFFFFFF, 0.25 * lane, 1);
  if (lane < 4) {
    __syncwarp(0xF);
    r.any += __shfl_sync(0xF, lane, 2);
  }
}

__global__ void count_votes(int* votes) {
  votes[threadIdx.x] = __syncthreads_count(threadIdx.x % 3 == 0) + 1000 * __syncthreads_or(threadIdx.x == 9) +
                       10000 * __syncthreads_and(threadIdx.x < 40);
}

using SimtExecution = Simt;

TEST_F(SimtExecution, EveryThreadOfEveryBlockRunsOnce) {
  for (int variant = 0; variant < 6; ++variant) {
    simt::set_variant(variant);
    const Array<unsigned> count(std::vector<unsigned>(2 * 3 * 4 * 5 * 6 * 7));
    ok(run(write_place, dim3(2, 3, 4), dim3(5, 6, 7), 0, count.data(), 5 * 6 * 7));
    EXPECT_EQ(count.values(), std::vector<unsigned>(2 * 3 * 4 * 5 * 6 * 7, 1));
  }
}

TEST_F(SimtExecution, ResultsDoNotDependOnTheOrder) {
  const std::vector<float> x = counting(1000);
  const Array<float> in(x), reversed(1000), sums(10);
  std::vector<float> first;
  for (int variant = 0; variant < 30; ++variant) {
    simt::set_variant(variant);
    ok(run(reverse, 10, 100, 0, in.data(), reversed.data()));
    for (std::size_t i = 0; i < 1000; ++i) ASSERT_EQ(reversed.values()[i], x[i / 100 * 100 + 99 - i % 100]);
    ok(run(sum_by_block, 10, 64, 64 * sizeof(float), in.data(), sums.data()));
    if (variant == 0) first = sums.values();
    ASSERT_EQ(sums.values(), first);
  }
  EXPECT_EQ(first[1], std::accumulate(&x[64], &x[128], 0.0F));
}

TEST_F(SimtExecution, SharedMemoryIsNanAtFirstInEveryBlock) {
  const Array<float> y(8);
  ok(run(unset_memory, 5, 8, 0, y.data()));
  for (const float value : y.values()) EXPECT_TRUE(std::isnan(value));
}

TEST_F(SimtExecution, WarpOperationsDoWhatTheyDoOnAGpu) {
  const Array<WarpResults> results(64);
  for (int variant = 0; variant < 9; ++variant) {
    simt::set_variant(variant);
    ok(run(use_warp, 1, 64, 0, results.data()));
    const std::vector<WarpResults> all = results.values();
    for (int thread = 0; thread < 64; ++thread) {
      const int lane = thread % 32;
      const WarpResults& r = all[static_cast<std::size_t>(thread)];
      ASSERT_EQ(r.shuffled, 105);
      ASSERT_EQ(r.up, 100 + (lane < 3 ? lane : lane - 3));
      ASSERT_EQ(r.down, 100 + (lane + 3 < 32 ? lane + 3 : lane));
      ASSERT_EQ(r.exchanged, 100 + (lane ^ 16));
      ASSERT_EQ(r.narrow, 100 + (lane % 4 < 3 ? lane + 1 : lane));
      ASSERT_EQ(r.any, lane < 4 ? 3 : 1);
      ASSERT_EQ(r.all, 0);
      ASSERT_EQ(r.ballot, 0xAAAAAAAA);
      ASSERT_EQ(r.wide, 0.25 * (lane ^ 1));
    }
  }
}

TEST_F(SimtExecution, BarriersThatCount) {
  const Array<int> votes(40);
  ok(run(count_votes, 1, 40, 0, votes.data()));
  EXPECT_EQ(votes.values(), std::vector<int>(40, 14 + 1000 + 10000));
}

TEST_F(SimtExecution, KernelsAreCountedByName) {
  const Array<unsigned> count(std::vector<unsigned>(64));
  const auto before = simt::kernels()["simt_test::write_place"];
  const simt::Counters counters = simt::counters();
  ok(run(write_place, 1, 64, 0, count.data(), 64));
  EXPECT_EQ(simt::kernels()["simt_test::write_place"], before + 1);
  EXPECT_EQ(simt::counters().launches, counters.launches + 1);
  EXPECT_EQ(simt::counters().threads, counters.threads + 64);
}

TEST_F(SimtExecution, AnyThreadOfTheHostMayLaunch) {
  const Array<unsigned> count(std::vector<unsigned>(64));
  for (int i = 0; i < 5; ++i) {
    std::thread other([&] { ok(run(write_place, 1, 64, 0, count.data(), 64)); });
    ok(run(write_place, 1, 64, 0, count.data(), 64));
    other.join();
  }
  EXPECT_EQ(count.values(), std::vector<unsigned>(64, 10));
}

TEST_F(SimtExecution, LimitsAreThoseOfADevice) {
  const Array<unsigned> count(std::vector<unsigned>(64));
  const auto refused = [&](dim3 grid, dim3 block, std::size_t shared) {
    const bool is =
        launch(write_place, grid, block, shared, nullptr, count.data(), 64) == cudaErrorInvalidConfiguration;
    EXPECT_EQ(cudaGetLastError(), is ? cudaErrorInvalidConfiguration : cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    return is;
  };
  EXPECT_TRUE(refused(1, 1025, 0));
  EXPECT_TRUE(refused(1, dim3(32, 33), 0));
  EXPECT_TRUE(refused(1, dim3(1, 1, 65), 0));
  EXPECT_TRUE(refused(0, 32, 0));
  EXPECT_TRUE(refused(dim3(1, 65536), 32, 0));
  EXPECT_TRUE(refused(1, 32, (48 << 10) + 1));
  EXPECT_FALSE(refused(1, 64, 48 << 10));
  EXPECT_EQ(cudaFuncSetAttribute(sum_by_block, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
            cudaErrorInvalidValue);
  ok(cudaFuncSetAttribute(sum_by_block, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10));
  const Array<float> x(counting(64)), sums(1);
  ok(run(sum_by_block, 1, 64, 227 << 10, x.data(), sums.data()));
}

}  // namespace simt_test
