#include "host/record/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "layers/error.hpp"

namespace normlab {
namespace {

TEST(Statistics, StudentQuantilesOfTheTables) {
  const std::pair<double, double> known[] = {{1, 12.7062047364},   {2, 4.30265272991}, {3, 3.18244630528},
                                             {4, 2.7764451052},    {9, 2.26215716280}, {30, 2.04227245630},
                                             {120, 1.97993040505}, {1e6, 1.95996636}};
  for (const auto& [degrees, t] : known)
    EXPECT_NEAR(student_quantile(0.975, degrees), t, 1e-8 * t) << degrees;
  EXPECT_NEAR(student_quantile(0.95, 5), 2.01504837333, 1e-9);
  EXPECT_NEAR(student_quantile(0.9995, 2), 31.5990545764, 1e-7);
}

/// With one degree of freedom the distribution is Cauchy's, with two it has a closed form too.
TEST(Statistics, ClosedForms) {
  for (const double t : {-40.0, -3.0, -0.7, 0.0, 1e-3, 0.5, 2.0, 100.0}) {
    EXPECT_NEAR(student_probability(t, 1), 0.5 + std::atan(t) / M_PI, 1e-13) << t;
    EXPECT_NEAR(student_probability(t, 2), 0.5 + t / (2 * std::sqrt(2 + t * t)), 1e-13) << t;
  }
}

TEST(Statistics, QuantileInvertsProbabilityAndIsOdd) {
  for (const double degrees : {0.5, 1.0, 2.5, 7.0, 40.0, 3000.0})
    for (const double p : {1e-6, 0.01, 0.3, 0.5, 0.8, 0.975, 0.999}) {
      EXPECT_NEAR(student_probability(student_quantile(p, degrees), degrees), p, 1e-11) << degrees;
      EXPECT_NEAR(student_quantile(p, degrees), -student_quantile(1 - p, degrees),
                  1e-9 * std::abs(student_quantile(p, degrees)));
    }
  EXPECT_THROW((void)student_quantile(1, 3), Error);
  EXPECT_THROW((void)student_quantile(0.5, 0), Error);
}

TEST(Statistics, EstimateOfTheMean) {
  const std::vector<double> values{76.62, 76.60, 76.10};
  const Estimate result = estimate(values);
  EXPECT_EQ(result.n, 3U);
  EXPECT_NEAR(result.mean, 76.44, 1e-12);
  EXPECT_NEAR(result.deviation, std::sqrt((0.18 * 0.18 + 0.16 * 0.16 + 0.34 * 0.34) / 2), 1e-12);
  EXPECT_NEAR(result.half_width, 4.30265272991 * result.deviation / std::sqrt(3.0), 1e-9);
}

TEST(Statistics, FewValues) {
  EXPECT_TRUE(std::isnan(estimate({}).mean));
  const double one[] = {0.5};
  EXPECT_EQ(estimate(one).mean, 0.5);
  EXPECT_TRUE(std::isnan(estimate(one).half_width));
  const double equal[] = {0.25, 0.25, 0.25};
  EXPECT_EQ(estimate(equal).half_width, 0);
}

/// With t(0.975; 1) = 12.7 an interval of two values says less than the values.
TEST(Statistics, TwoValuesHaveNoInterval) {
  const double two[] = {0.5, 0.25};
  const Estimate result = estimate(two);
  EXPECT_EQ(result.mean, 0.375);
  EXPECT_EQ(result.lowest, 0.25);
  EXPECT_EQ(result.highest, 0.5);
  EXPECT_FALSE(result.has_interval());
  EXPECT_TRUE(std::isnan(result.half_width));
}

TEST(Statistics, IntervalsStayWithinTheirBounds) {
  const double values[] = {0.02, 0.10, 0.03};
  const Estimate low = estimate(values);
  const Interval cut = low.interval(bounds_of_accuracy);
  EXPECT_EQ(cut.low, 0);
  EXPECT_EQ(cut.high, low.mean + low.half_width);
  EXPECT_TRUE(cut.is_cut);
  const Interval whole = low.interval(bounds_of_accuracy_difference);
  EXPECT_EQ(whole.low, low.mean - low.half_width);
  EXPECT_FALSE(whole.is_cut);
}

TEST(Statistics, BinomialTails) {
  EXPECT_NEAR(binomial_at_least(6, 10, 0.5), 386.0 / 1024, 1e-12);
  EXPECT_NEAR(binomial_at_least(1, 5, 0.1), 1 - std::pow(0.9, 5), 1e-12);
  EXPECT_NEAR(binomial_at_least(5, 5, 0.1), 1e-5, 1e-15);
  EXPECT_EQ(binomial_at_least(0, 5, 0.1), 1);
  EXPECT_EQ(binomial_at_least(6, 5, 0.1), 0);
  EXPECT_NEAR(binomial_at_least(121, 1000, 0.1), 0.0173, 0.001);  // about 2.2 deviations up
}

/// Pairing takes out what the seeds have in common: a constant difference has no spread at all.
TEST(Statistics, PairedDifference) {
  const double a[] = {1, 5, 9}, b[] = {0.5, 4.5, 8.5};
  EXPECT_EQ(paired_difference(a, b).mean, 0.5);
  EXPECT_EQ(paired_difference(a, b).half_width, 0);
  EXPECT_GT(estimate(a).half_width, 1);
  EXPECT_THROW((void)paired_difference(std::span(a).first(2), b), Error);
}

TEST(Statistics, Median) {
  const double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};
  EXPECT_EQ(median(odd), 3);
  EXPECT_EQ(median(even), 2.5);
  EXPECT_TRUE(std::isnan(median({})));
}

}  // namespace
}  // namespace normlab
