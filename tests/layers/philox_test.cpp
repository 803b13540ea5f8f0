// The generator against the known answers published with Random123 (kat_vectors, philox4x32 10).

#include "layers/philox.hpp"

#include <gtest/gtest.h>

namespace normlab {
namespace {

TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // The digits of pi; the first key word is the lower half.
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, AStreamReadsBlocksInOrder) {
  Philox random(7, Purpose::order, 3, 5);
  for (std::uint32_t block = 0; block < 3; ++block) {
    const PhiloxBlock expected = philox4x32({block, static_cast<std::uint32_t>(Purpose::order), 3, 5}, 7);
    for (const std::uint32_t word : expected) EXPECT_EQ(random.next(), word);
  }
}

TEST(Philox, BelowStaysBelowAndReachesAll) {
  Philox random(1, Purpose::probe);
  int counts[6] = {};
  for (int i = 0; i < 6000; ++i) {
    const std::uint32_t value = random.below(6);
    ASSERT_LT(value, 6U);
    ++counts[value];
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 180);  // 6 deviations
  EXPECT_EQ(random.below(1), 0U);
}

}  // namespace
}  // namespace normlab
