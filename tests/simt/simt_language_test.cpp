// Types and arithmetic of kernels.

#include <cuda_bf16.h>

#include <cmath>
#include <cstring>

#include "tests/simt/kit.hpp"

namespace simt_test {

TEST(SimtLanguage, Bfloat16RoundsToNearestEven) {
  // Each bf16 value and the one after it: what lies between goes to the nearer, in the middle to the even
  // one.
  for (unsigned low = 0; low < 0x7F80; ++low) {
    const auto at = [&](unsigned offset) { return __uint_as_float((low << 16) + offset); };
    const auto bits = [](float value) {
      return static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16(value)));
    };
    ASSERT_EQ(bits(at(0)), low);
    ASSERT_EQ(bits(at(0x7FFF)), low);
    ASSERT_EQ(bits(at(0x8000)), low + (low & 1));
    ASSERT_EQ(bits(at(0x8001)), low + 1);
    ASSERT_EQ(bits(-at(0x8001)), (low + 1) | 0x8000);
    ASSERT_EQ(__bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(low))), at(0));
  }
  EXPECT_EQ(__bfloat162float(__float2bfloat16_rn(INFINITY)), INFINITY);
  EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(NAN))));
  EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(__uint_as_float(0x7F800001)))));
  const float2 pair = __bfloat1622float2(__floats2bfloat162_rn(1.5F, -2));
  EXPECT_EQ(pair.x, 1.5F);
  EXPECT_EQ(pair.y, -2);
}

TEST(SimtLanguage, Bfloat16HasNoArithmetic) {
  static_assert(!std::is_convertible_v<__nv_bfloat16, float>);
  static_assert(!std::is_convertible_v<float, __nv_bfloat16>);
}

TEST(SimtLanguage, TypesAreLaidOutAsOnADevice) {
  static_assert(sizeof(float4) == 16 && alignof(float4) == 16 && alignof(uint4) == 16 &&
                alignof(float2) == 8);
  static_assert(sizeof(float3) == 12 && alignof(float3) == 4 && alignof(uchar4) == 4);
  static_assert(sizeof(__nv_bfloat16) == 2 && sizeof(__nv_bfloat162) == 4 && alignof(__nv_bfloat162) == 4);
  static_assert(sizeof(dim3) == 12);
  const dim3 grid = 5;
  EXPECT_EQ(grid.x * 100 + grid.y * 10 + grid.z, 511U);
}

__global__ void use_atomics(int* sums, unsigned* bits, unsigned long long* most) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&sums[0], i);
  atomicMax(&sums[1], i);
  atomicMin(&sums[2], i);
  atomicOr(bits, 1U << (i % 32));
  atomicMax(most, static_cast<unsigned long long>(i) << 32);
  int old = sums[3], expected = 0;
  do {
    expected = old;
    old = atomicCAS(&sums[3], expected, expected + 2);
  } while (old != expected);
}

class SimtLanguageKernels : public Simt {};

TEST_F(SimtLanguageKernels, Atomics) {
  const Array<int> sums(std::vector<int>{0, -5, 5000, 0});
  const Array<unsigned> bits(std::vector<unsigned>{0});
  const Array<unsigned long long> most(std::vector<unsigned long long>{0});
  ok(run(use_atomics, 4, 64, 0, sums.data(), bits.data(), most.data()));
  EXPECT_EQ(sums.values(), (std::vector<int>{255 * 128, 255, 0, 512}));
  EXPECT_EQ(bits.values()[0], 0xFFFFFFFF);
  EXPECT_EQ(most.values()[0], 255ULL << 32);
}

}  // namespace simt_test
