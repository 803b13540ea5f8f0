// bf16 as storage: rounding, the vectors' against the scalar one, and what the parser says.

#include "layers/data_type.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "host/cpu/vector.hpp"
#include "layers/philox.hpp"
#include "layers/tensor.hpp"

namespace normlab {
namespace {

/// Every upper half of a float with lower halves around the ties; infinities, NaNs and denormals are among
/// them.
std::vector<float> interesting_floats() {
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 0x10000U; ++upper) {
    for (const std::uint32_t lower : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      values.push_back(std::bit_cast<float>(upper << 16 | lower));
    }
  }
  return values;
}

TEST(Bf16, RoundsToTheNearestTiesToEven) {
  for (const float value : interesting_floats()) {
    const auto rounded = static_cast<double>(static_cast<float>(Bf16(value)));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(rounded));
      continue;
    }
    const auto bits = std::bit_cast<std::uint32_t>(value) & 0xFFFF0000U;
    const double x = static_cast<double>(value), low = static_cast<double>(std::bit_cast<float>(bits)),
                 high = static_cast<double>(std::bit_cast<float>(bits + 0x10000U));  // away from zero
    if (x == low) {
      EXPECT_EQ(rounded, x);
    } else if (!std::isinf(high)) {
      const bool low_is_even = (bits >> 16) % 2 == 0;
      const double to_low = std::abs(x - low), to_high = std::abs(high - x);
      EXPECT_EQ(rounded, to_low < to_high || (to_low == to_high && low_is_even) ? low : high) << value;
    }
  }
  EXPECT_TRUE(std::isinf(static_cast<float>(Bf16(std::numeric_limits<float>::max()))));
}

struct Convert {
  template <typename Set>
  static NORMLAB_INLINE void run(const float* from, std::size_t count, Bf16* to, float* back) {
    for (std::size_t i = 0; i < count; i += kLanes) {
      store(to + i, load<Set>(from + i));
      store(back + i, load<Set>(to + i));
    }
  }
};

TEST(Bf16, VectorsRoundAsScalarsDo) {
  const std::vector<float> values = interesting_floats();
  struct alignas(64) Line {
    float lane[kLanes];
  };
  const std::size_t count = values.size();
  std::vector<Line> from(count / kLanes), back(count / kLanes), to(count / kLanes);
  std::copy(values.begin(), values.end(), from.front().lane);
  auto* stored = reinterpret_cast<Bf16*>(to.data());
  for (const Isa set : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (set > best_isa()) continue;
    force_isa(set);
    kernel<Convert>(from.front().lane, count, stored, back.front().lane);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(stored[i].bits, Bf16(values[i]).bits) << isa_name(set) << " " << values[i];
      ASSERT_EQ(std::bit_cast<std::uint32_t>(back.front().lane[i]), std::uint32_t{stored[i].bits} << 16);
    }
  }
  force_isa(best_isa());
}

#ifdef NORMLAB_CHECKED
TEST(Tensor, IsNotReadAsAnotherType) {
  std::byte value[4]{};
  const Tensor tensor{value, {1, 1, 1, 2}, DataType::bf16};
  EXPECT_NE(tensor.as<Bf16>(), nullptr);
  EXPECT_THROW(static_cast<void>(tensor.as<float>()), Error);
}
#endif

TEST(Precision, HasTwoNames) {
  EXPECT_EQ(parse_precision("fp32"), DataType::f32);
  EXPECT_EQ(parse_precision("bf16"), DataType::bf16);
  for (const char* name : {"fp16", "", "BF16"})
    EXPECT_THROW(static_cast<void>(parse_precision(name)), UsageError);
}

}  // namespace
}  // namespace normlab
