// Kernels that are wrong: what must show as a wrong result under some order of threads, and what must be
// reported. (Data races are found by ThreadSanitizer, too: see simt_race_test.cpp. Here they would be its
// reports.)

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/simt/kit.hpp"

namespace simt_test {

// A reduction whose barriers can be left out: bit 0 the first, bit 1 the one in the loop.
__global__ void reduce(const float* x, float* sum, unsigned left_out) {
  NORMLAB_SHARED(float, partial, 256);
  partial[threadIdx.x] = x[threadIdx.x];
  if (!(left_out & 1)) __syncthreads();
  for (unsigned distance = 128; distance > 0; distance /= 2) {
    if (threadIdx.x < distance) partial[threadIdx.x] += partial[threadIdx.x + distance];
    if (!(left_out & 2)) __syncthreads();
  }
  if (threadIdx.x == 0) *sum = partial[0];
}

// A tile used twice: without the barrier after its use, the second load comes too early.
__global__ void two_tiles(const float* x, float* y, bool barrier_after_use) {
  NORMLAB_SHARED(float, tile, 128);
  for (unsigned i = 0; i < 2; ++i) {
    tile[threadIdx.x] = x[i * 128 + threadIdx.x];
    __syncthreads();
    y[i * 128 + threadIdx.x] = tile[127 - threadIdx.x];
    if (barrier_after_use) __syncthreads();
  }
}

// The lanes of a warp through shared memory.
__global__ void neighbours(const float* x, float* y, bool synchronize) {
  NORMLAB_SHARED(float, values, 64);
  values[threadIdx.x] = x[threadIdx.x];
  if (synchronize) __syncwarp();
  y[threadIdx.x] = values[threadIdx.x ^ 1];
}

// Waits for nobody, but counts on block 0 having run before.
__global__ void first_block_first(float* y) {
  if (threadIdx.x > 0) return;
  y[blockIdx.x] = blockIdx.x == 0 ? 7.0F : y[0];
}

std::string leaves_line, branch_line, other_branch_line, shuffle_line;

__global__ void leaves_early(int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  leaves_line = SIMT_TEST_NEXT_LINE;
  __syncthreads();
}
__global__ void barrier_in_one_branch() {
  if (threadIdx.x < 16) {
    branch_line = SIMT_TEST_NEXT_LINE;
    __syncthreads();
  }
}
__global__ void barrier_in_each_branch() {
  if (threadIdx.x < 16) {
    branch_line = SIMT_TEST_NEXT_LINE;
    __syncthreads();
  } else {
    other_branch_line = SIMT_TEST_NEXT_LINE;
    __syncthreads();
  }
}
__global__ void unequal_loops() {
  for (unsigned i = 0; i <= threadIdx.x / 32; ++i) __syncthreads();
}
__global__ void shuffle_in_branch(int* y) {
  int value = 0;
  if (threadIdx.x % 2 == 0) {
    shuffle_line = SIMT_TEST_NEXT_LINE;
    value = __shfl_down_sync(0xFFFFFFFF, 1, 1);
  }
  y[threadIdx.x] = value;
}
__global__ void two_shuffles(int* y) {
  y[threadIdx.x] = threadIdx.x < 16 ? __shfl_sync(0xFFFFFFFF, 1, 1) : __shfl_xor_sync(0xFFFFFFFF, 1, 1);
}
__global__ void names_absent_lanes(int* y) {
  y[threadIdx.x] = __shfl_sync(0xFFFFFFFF, 1, 1);
}
__global__ void does_not_name_itself(int* y) {
  y[threadIdx.x] = __shfl_sync(0x0000FFFF, 1, 1);
}
__global__ void traps() {
  __trap();
}
__global__ void much_shared_memory(float* y) {
  NORMLAB_SHARED(float, most, 12000);
  NORMLAB_SHARED(float, rest, 1000);
  y[0] = most[0] + rest[0];
}
__global__ void no_dynamic_memory(float* y) {
  *y = *normlab::dynamic_shared<float>();
}

class SimtMisuse : public Simt {
 protected:
  using Parts = std::vector<std::string>;
  // The parts are asked for when the kernel has run: it says where its lines are.
  template <typename Run, typename GetParts>
  static void expect_report(Run run_it, GetParts parts) {
    const cudaError_t status = run_it();
    EXPECT_EQ(status, cudaErrorLaunchFailure);
    for (const std::string& part : parts())
      EXPECT_TRUE(contains(simt::report(), part)) << "no '" << part << "' in: " << simt::report();
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure) << "the error sticks";
    simt::reset();
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
};

#ifndef __SANITIZE_THREAD__

TEST_F(SimtMisuse, AMissingBarrierShows) {
  const std::vector<float> x = counting(256);
  const float right = std::accumulate(x.begin(), x.end(), 0.0F);
  const Array<float> in(x), sum(1), twice(256);
  const auto reduces_wrong = [&](unsigned left_out) {
    ok(run(reduce, 1, 256, 0, in.data(), sum.data(), left_out));
    return sum.values()[0] != right;
  };
  EXPECT_EQ(wrong_in_30([&] { return reduces_wrong(0); }), 0);
  // Every order but the uniform one, which is every third variant, shows it, or nearly.
  EXPECT_GE(wrong_in_30([&] { return reduces_wrong(1); }), 15);
  EXPECT_GE(wrong_in_30([&] { return reduces_wrong(2); }), 15);
  EXPECT_EQ(wrong_in_30([&] { return reduces_wrong(0); }), 0);
  std::vector<float> reversed(256);
  for (std::size_t i = 0; i < 256; ++i) reversed[i] = x[i / 128 * 128 + 127 - i % 128];
  const auto tiles_wrong = [&](bool barrier) {
    ok(run(two_tiles, 1, 128, 0, in.data(), twice.data(), barrier));
    return twice.values() != reversed;
  };
  EXPECT_EQ(wrong_in_30([&] { return tiles_wrong(true); }), 0);
  EXPECT_GE(wrong_in_30([&] { return tiles_wrong(false); }), 15);
}

TEST_F(SimtMisuse, AMissingSyncwarpShows) {
  const std::vector<float> x = counting(64);
  const Array<float> in(x), y(64);
  const auto wrong = [&](bool synchronize) {
    ok(run(neighbours, 1, 64, 0, in.data(), y.data(), synchronize));
    const std::vector<float> values = y.values();
    for (std::size_t i = 0; i < 64; ++i)
      if (values[i] != x[i ^ 1]) return true;
    return false;
  };
  EXPECT_EQ(wrong_in_30([&] { return wrong(true); }), 0);
  EXPECT_EQ(wrong_in_30([&] { return wrong(false); }), 30);
}

TEST_F(SimtMisuse, CountingOnTheOrderOfBlocksShows) {
  const int wrong = wrong_in_30([&] {
    const Array<float> y(16);
    ok(run(first_block_first, 16, 32, 0, y.data()));
    const std::vector<float> values = y.values();
    return std::any_of(values.begin(), values.end(), [](float value) { return value != 7; });
  });
  EXPECT_GE(wrong, 20);
}

#endif

TEST_F(SimtMisuse, ThreadsThatLeaveBeforeABarrier) {
  for (int variant = 0; variant < 9; ++variant) {
    simt::set_variant(variant);
    expect_report([&] { return run(leaves_early, 2, 64, 0, 63); },
                  [] {
                    return Parts{"simt_test::leaves_early, block (", "left the kernel", leaves_line};
                  });
    expect_report([&] { return run(barrier_in_one_branch, 1, 64, 0); },
                  [] {
                    return Parts{"left the kernel", branch_line};
                  });
  }
}

TEST_F(SimtMisuse, BarriersThatNotAllThreadsReach) {
  for (int variant = 0; variant < 9; ++variant) {
    simt::set_variant(variant);
    expect_report([&] { return run(barrier_in_each_branch, 1, 64, 0); },
                  [] {
                    return Parts{"__syncthreads", branch_line, other_branch_line};
                  });
    expect_report([&] { return run(unequal_loops, 1, 64, 0); },
                  [] {
                    return Parts{"__syncthreads", "left the kernel"};
                  });
  }
}

TEST_F(SimtMisuse, WarpOperationsWithoutAllTheirLanes) {
  const Array<int> y(64);
  for (int variant = 0; variant < 9; ++variant) {
    simt::set_variant(variant);
    expect_report([&] { return run(shuffle_in_branch, 1, 64, 0, y.data()); },
                  [] {
                    return Parts{"__shfl_down_sync", shuffle_line, "left the kernel"};
                  });
    expect_report([&] { return run(two_shuffles, 1, 32, 0, y.data()); },
                  [] {
                    return Parts{"__shfl_sync", "__shfl_xor_sync"};
                  });
    expect_report([&] { return run(names_absent_lanes, 1, 40, 0, y.data()); },
                  [] {
                    return Parts{"mask 0xffffffff names thread 40", "does not have"};
                  });
    expect_report([&] { return run(does_not_name_itself, 1, 32, 0, y.data()); },
                  [] { return Parts{"does not name the lane that calls"}; });
  }
}

TEST_F(SimtMisuse, TrapsAndTooMuchSharedMemory) {
  const Array<float> y(1);
  expect_report([&] { return run(traps, 1, 32, 0); },
                [] {
                  return Parts{"simt_test::traps, block (0, 0, 0), thread (", "__trap"};
                });
  expect_report([&] { return run(much_shared_memory, 1, 1, 0, y.data()); },
                [] {
                  return Parts{"shared array rest", "52000 bytes, 49152 are allowed"};
                });
  expect_report([&] { return run(no_dynamic_memory, 1, 1, 0, y.data()); },
                [] {
                  return Parts{"dynamic shared memory", "asked for none"};
                });
}

TEST_F(SimtMisuse, AKernelRunsAgainAfterOneThatFailed) {
  const std::vector<float> x = counting(256);
  const Array<float> in(x), sum(1);
  for (int i = 0; i < 20; ++i) {
    expect_report([&] { return run(unequal_loops, 3, 256, 0); }, [] { return Parts{"__syncthreads"}; });
    ok(run(reduce, 1, 256, 0, in.data(), sum.data(), 0U));
    ASSERT_EQ(sum.values()[0], std::accumulate(x.begin(), x.end(), 0.0F));
  }
}

}  // namespace simt_test
