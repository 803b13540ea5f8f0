#include "layers/schedule.hpp"

#include <gtest/gtest.h>

#include "layers/error.hpp"
#include "tests/reference/golden.hpp"

namespace normlab {
namespace {

TEST(Schedule, OneCycleIsPyTorchs) {
  for (const std::int64_t steps : {1, 2, 3, 10, 37, 391, 3128}) {
    const Schedule schedule{Schedule::Kind::onecycle, 0.1, 0.9, steps};
    for (std::int64_t t = 0; t < steps; ++t) {
      const reference::Rates expected =
          reference::one_cycle(static_cast<double>(t), static_cast<double>(steps), 0.1);
      const Rates rates = schedule.at(t);
      EXPECT_NEAR(rates.lr, expected.lr, 1e-12) << "step " << t << " of " << steps;
      EXPECT_NEAR(rates.momentum, expected.momentum, 1e-12) << "step " << t << " of " << steps;
    }
  }
}

TEST(Schedule, OneCycleRisesToThePeakAndFalls) {
  const Schedule schedule{Schedule::Kind::onecycle, 0.1, 0.9, 1000};
  EXPECT_NEAR(schedule.at(0).lr, 0.1 / 25, 1e-15);
  EXPECT_NEAR(schedule.at(0).momentum, 0.95, 1e-15);
  EXPECT_NEAR(schedule.at(299).lr, 0.1, 1e-15);
  EXPECT_NEAR(schedule.at(299).momentum, 0.85, 1e-15);
  EXPECT_NEAR(schedule.at(999).lr, 0.1 / 250000, 1e-15);
  EXPECT_NEAR(schedule.at(999).momentum, 0.95, 1e-15);
}

TEST(Schedule, TheOthers) {
  const Schedule constant{Schedule::Kind::constant, 0.1, 0.9, 100};
  EXPECT_EQ(constant.at(99).lr, 0.1);
  EXPECT_EQ(constant.at(99).momentum, 0.9);
  const Schedule step{Schedule::Kind::step, 0.1, 0.9, 100};
  EXPECT_EQ(step.at(49).lr, 0.1);
  EXPECT_DOUBLE_EQ(step.at(50).lr, 0.01);
  EXPECT_DOUBLE_EQ(step.at(75).lr, 0.001);
  const Schedule cosine{Schedule::Kind::cosine, 0.1, 0.9, 100};
  for (int t = 0; t < 100; ++t) EXPECT_NEAR(cosine.at(t).lr, reference::cosine(t, 100, 0.1), 1e-15);
}

TEST(Schedule, AnUnknownNameIsRefused) {
  EXPECT_THROW(static_cast<void>(parse_schedule("linear")), UsageError);
}

}  // namespace
}  // namespace normlab
