#include "host/record/number_text.hpp"

#include <gtest/gtest.h>

namespace normlab {
namespace {

TEST(NumberText, ScientificWhereDecimalsSayNothing) {
  EXPECT_EQ(number_text(1.23456, 4), "1.2346");
  EXPECT_EQ(number_text(-0.5, 2), "-0.50");
  EXPECT_EQ(number_text(999'999, 4), "999999.0000");
  EXPECT_EQ(number_text(1e6, 4), "1.000e+06");
  EXPECT_EQ(number_text(6747792555517706368964848779264.0, 4), "6.748e+30");
  EXPECT_EQ(number_text(-2e12, 4), "-2.000e+12");
  EXPECT_EQ(number_text(INFINITY, 4), "inf");
  EXPECT_EQ(number_text(NAN, 4), "nan");
}

}  // namespace
}  // namespace normlab
