// How figures over seeds are printed.

#include "host/record/figure_text.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace normlab {
namespace {

std::string accuracy(const std::vector<double>& values) {
  return figure_text(estimate(values), accuracy_style);
}

std::string difference(const std::vector<double>& values) {
  return figure_text(estimate(values), accuracy_difference_style);
}

TEST(FigureText, FewValuesStandForThemselves) {
  EXPECT_EQ(accuracy({}), "-");
  EXPECT_EQ(accuracy({0.5}), "50.00");
  EXPECT_EQ(accuracy({0.5054, 0.1}), "10.00, 50.54");
  EXPECT_EQ(difference({0.02, -0.05}), "-5.00, +2.00");
}

TEST(FigureText, IntervalsAreHalfOrCut) {
  EXPECT_EQ(accuracy({0.75, 0.76, 0.77}), "76.00 ± 2.48");
  EXPECT_EQ(accuracy({0.10, 0.10, 0.40}), "20.00 [0, 63.03]");
  EXPECT_EQ(accuracy({0.90, 0.99, 0.90}), "93.00 [80.09, 100]");
  EXPECT_EQ(difference({-0.10, -0.10, -0.40}), "-20.00 ± 43.03") << "a difference may be below 0";
  EXPECT_EQ(difference({-0.9, -0.9, -0.6}), "-80.00 [-100, -36.97]");
}

TEST(FigureText, OtherQuantitiesHaveTheirOwnBounds) {
  EXPECT_EQ(figure_text(estimate(std::vector{0.1, 0.1, 2.2}), {1, 4, not_negative}), "0.8000 [0, 3.8119]");
  EXPECT_EQ(figure_text(estimate(std::vector{1., 2., 3.}), {1, 1}), "2.0 ± 2.5");
}

}  // namespace
}  // namespace normlab
