// The order of images and the validation split: permutations, keyed, and the same for ever.

#include "host/data/batches.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "layers/error.hpp"

namespace normlab {
namespace {

std::vector<std::uint32_t> ascending(std::size_t count) {
  std::vector<std::uint32_t> all(count);
  std::iota(all.begin(), all.end(), 0U);
  return all;
}

TEST(Batches, AnEpochVisitsEachImageOnce) {
  for (const int count : {0, 1, 2, 7, 1000}) {
    std::vector<std::uint32_t> order = epoch_order(3, 1, count);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, ascending(static_cast<std::size_t>(count))) << count;
  }
}

TEST(Batches, OrderDependsOnSeedAndEpochOnly) {
  const auto order = epoch_order(5, 2, 500);
  EXPECT_EQ(order, epoch_order(5, 2, 500));
  EXPECT_NE(order, epoch_order(5, 3, 500));
  EXPECT_NE(order, epoch_order(6, 2, 500));
  EXPECT_NE(order, ascending(500));
}

// Runs can be compared across versions only while this holds.
TEST(Batches, OrderNeverChanges) {
  EXPECT_EQ(epoch_order(0, 1, 10), (std::vector<std::uint32_t>{3, 9, 7, 4, 1, 0, 5, 2, 6, 8}));
}

TEST(Batches, EachPositionIsFair) {
  // 4000 permutations of 5: each value in each place 800 times, deviation 25; 6 deviations allowed.
  int counts[5][5] = {};
  for (std::uint32_t epoch = 0; epoch < 4000; ++epoch) {
    const auto order = epoch_order(1, epoch, 5);
    for (std::size_t place = 0; place < 5; ++place) ++counts[place][order[place]];
  }
  for (const auto& row : counts) {
    for (const int count : row) EXPECT_NEAR(count, 800, 150);
  }
}

TEST(Batches, HoldOutPartsTheSet) {
  const auto [kept, held] = hold_out(4, 100, 30);
  EXPECT_EQ(kept.size(), 70U);
  EXPECT_EQ(held.size(), 30U);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
  EXPECT_TRUE(std::is_sorted(held.begin(), held.end()));
  std::vector<std::uint32_t> both;
  std::merge(kept.begin(), kept.end(), held.begin(), held.end(), std::back_inserter(both));
  EXPECT_EQ(both, ascending(100));
  EXPECT_NE(held, hold_out(5, 100, 30).second);
  EXPECT_EQ(held, hold_out(4, 100, 30).second);
  EXPECT_TRUE(hold_out(4, 100, 0).second.empty());
}

TEST(Batches, WrongSizesAreUsageErrors) {
  EXPECT_THROW(epoch_order(0, 0, -1), UsageError);
  EXPECT_THROW(hold_out(0, 10, 10), UsageError);
  EXPECT_THROW(hold_out(0, 10, -1), UsageError);
  EXPECT_THROW(hold_out(0, 0, 0), UsageError);
}

}  // namespace
}  // namespace normlab
