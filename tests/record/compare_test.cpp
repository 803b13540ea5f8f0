// Two studies side by side, on numbers worked out by hand.

#include "host/record/compare.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/record/sample_study.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::SampleRun;

RunResults run_of(const std::string& norm, std::int64_t seed, double accuracy, double loss = 1,
                  const std::string& status = "done") {
  RunResults run;
  run.arm = norm;
  run.norm = norm;
  run.seed = seed;
  run.run = fmt::format("{}-seed{}", norm, seed);
  run.status = status;
  run.config.set("norm", norm);
  run.config.set("seed", seed);
  run.config.set("train_images", 1000);
  run.epochs = {{1, 10, "train", 2.0, 0.5, 0.5}, {1, 10, "test", loss, accuracy, 0.1}};
  return run;
}

TEST(Compare, PairsByNormAndSeed) {
  // Differences 0.01, 0.02, 0.03: mean 0.02, deviation 0.01, t(0.975; 2) = 4.30265.
  const std::vector<RunResults> a{run_of("bn", 0, 0.70), run_of("bn", 1, 0.60), run_of("bn", 2, 0.80)};
  const std::vector<RunResults> b{run_of("bn", 2, 0.83), run_of("bn", 0, 0.71), run_of("bn", 1, 0.62)};
  const Comparison found = compare(a, b);
  ASSERT_EQ(found.arms.size(), 1U);
  const PairedFigure& accuracy = found.arms[0].accuracy;
  EXPECT_EQ(accuracy.difference.n, 3U);
  EXPECT_NEAR(accuracy.a.mean, 0.70, 1e-12);
  EXPECT_NEAR(accuracy.b.mean, 0.72, 1e-12);
  EXPECT_NEAR(accuracy.difference.mean, 0.02, 1e-12);
  EXPECT_NEAR(accuracy.difference.half_width, 4.30265 * 0.01 / std::sqrt(3), 1e-6);
  EXPECT_NEAR(found.arms[0].speed.a.mean, 2000, 1e-9);
  EXPECT_EQ(found.arms[0].loss.difference.mean, 0);
  EXPECT_TRUE(found.left_out.empty());
  EXPECT_TRUE(found.settings.empty());
}

TEST(Compare, MarksWhatCannotBeDistinguished) {
  const std::vector<RunResults> a{run_of("bn", 0, 0.70, 1.0), run_of("bn", 1, 0.60, 1.0),
                                  run_of("bn", 2, 0.60, 1.0)};
  const std::vector<RunResults> b{run_of("bn", 0, 0.75, 1.2), run_of("bn", 1, 0.58, 1.2001),
                                  run_of("bn", 2, 0.63, 1.2002)};
  const std::string text = comparison_text(compare(a, b), "x", "y");
  EXPECT_HAS(text, "+2.00 ± 8.96 ?\n");  // t(0.975; 2) = 4.3027, deviation 0.0361
  EXPECT_HAS(text, "+0.2001 ± 0.0002\n");
  EXPECT_HAS(text, "Their configurations are the same.");
}

TEST(Compare, TwoPairsAreTheirValuesAndIntervalsStayWhereValuesCanBe) {
  std::vector<RunResults> a{run_of("bn", 0, 0.70), run_of("bn", 1, 0.60)};
  std::vector<RunResults> b{run_of("bn", 0, 0.75), run_of("bn", 1, 0.58)};
  std::string text = comparison_text(compare(a, b), "x", "y");
  EXPECT_HAS(text, "  60.00, 70.00  58.00, 75.00  -2.00, +5.00 ?\n");
  a.push_back(run_of("bn", 2, 0.01, 4));
  b.push_back(run_of("bn", 2, 0.01, 4));
  text = comparison_text(compare(a, b), "x", "y");
  EXPECT_HAS(text, "  43.67 [0, 100] ");
  EXPECT_HAS(text, "2.0000 [0, 6.3027]");
}

TEST(Compare, WhatHasNoPartnerIsNamed) {
  const std::vector<RunResults> a{run_of("bn", 0, 0.7), run_of("bn", 1, 0.7), run_of("in", 0, 0.5),
                                  run_of("ln", 0, 0.5), run_of("gn:4", 0, 0.1, 3, "diverged")};
  const std::vector<RunResults> b{run_of("bn", 0, 0.7), run_of("bn", 4, 0.7), run_of("none", 0, 0.5),
                                  run_of("ln", 0, 0.5, 1, "interrupted"), run_of("gn:4", 0, 0.6)};
  const Comparison found = compare(a, b);
  EXPECT_EQ(found.left_out, (std::vector<std::string>{"bn seed 1: only in A.", "bn seed 4: only in B.",
                                                      "in: only in A.", "ln seed 0: unfinished in B.",
                                                      "gn:4 seed 0: diverged in A.", "none: only in B."}));
  ASSERT_EQ(found.arms.size(), 1U);
  EXPECT_EQ(found.arms[0].accuracy.difference.n, 1U);
  EXPECT_HAS(comparison_text(found, "x", "y"), "or there is none");
}

TEST(Compare, SettingsThatDifferAreNamed) {
  std::vector<RunResults> a{run_of("bn", 0, 0.7), run_of("none", 0, 0.6)};
  std::vector<RunResults> b = a;
  for (RunResults& run : a) {
    run.config.set("epochs", 8);
    run.config.set("revision", "abc");
    run.config.set("lr", ConfigValue(run.norm == "bn" ? 0.1 : 0.02));
  }
  for (RunResults& run : b) {
    run.config.set("epochs", 8);
    run.config.set("revision", "def");
    run.config.set("lr", ConfigValue(0.05));
    run.config.set("clip", 1);
  }
  const Comparison found = compare(a, b);
  ASSERT_EQ(found.settings.size(), 2U);
  EXPECT_EQ(found.settings[0].key, "lr");
  EXPECT_EQ(found.settings[0].a, "bn 0.1, none 0.02");
  EXPECT_EQ(found.settings[0].b, "0.05");
  EXPECT_EQ(found.settings[1].key, "clip");
  EXPECT_EQ(found.settings[1].a, "(none)");
  EXPECT_EQ(found.settings[1].b, "1");
  ASSERT_EQ(found.circumstances.size(), 1U);
  EXPECT_EQ(found.circumstances[0].key, "revision");
}

TEST(CompareCommand, ComparesTwoStudies) {
  const test::TemporaryDirectory directory;
  for (const auto& [name, gain] : {std::pair("a", 0.0), std::pair("b", 0.125)}) {
    const StudyDirectory study = StudyDirectory::create("compare_norms", directory / name);
    for (int seed = 0; seed < 3; ++seed)
      test::write_run(study,
                      {.norm = "bn", .seed = seed, .test_accuracies = {0.5, 0.6 + 0.01 * seed + gain}});
  }
  const std::string a = (directory / "a").string(), b = (directory / "b").string();
  const auto result = test::run_program("normlog compare " + a + " " + b);
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_HAS(result.output, "+12.50 ± 0.00\n");
  EXPECT_HAS(result.output, "A  " + a);
  EXPECT_EQ(test::run_program("normlog compare " + a).status, 2);
  EXPECT_EQ(test::run_program("normlog compare " + a + " /nowhere").status, 1);
}

}  // namespace
}  // namespace normlab
