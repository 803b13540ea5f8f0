#include "host/record/summary.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/record/sample_study.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::SampleRun;

std::vector<RunResults> results_of(const std::vector<SampleRun>& samples) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  for (const SampleRun& sample : samples) test::write_run(study, sample);
  std::vector<RunResults> results;
  for (const auto& run : find_runs({{study.path()}})) results.push_back(read_run(run));
  return results;
}

TEST(Summary, MeansIntervalsAndPairs) {
  const auto runs = results_of({{"bn", 0, {0.70, 0.80, 0.76}},
                                {"bn", 1, {0.60, 0.71, 0.77}},
                                {"bn", 2, {0.50, 0.60, 0.75}},
                                {"ln", 0, {0.50, 0.60, 0.71}},
                                {"ln", 1, {0.50, 0.60, 0.69}},
                                {"ln", 2, {0.50, 0.60, 0.70}}});
  const auto arms = summarize(runs);
  ASSERT_EQ(arms.size(), 2U);
  EXPECT_EQ(arms[0].label, "bn");
  EXPECT_EQ(arms[0].parameters, 46'010);
  EXPECT_EQ(arms[0].finished, 3U);
  EXPECT_NEAR(arms[0].final_accuracy.mean, 0.76, 1e-12);
  EXPECT_NEAR(arms[0].final_accuracy.half_width, 4.30265273 * 0.01 / std::sqrt(3.0), 1e-9);
  EXPECT_NEAR(arms[0].best_accuracy.mean, (0.80 + 0.77 + 0.75) / 3, 1e-12);
  EXPECT_FALSE(arms[0].to_baseline.has_value());
  EXPECT_NEAR(arms[0].epochs_to_threshold.mean, 2, 1e-12);  // epochs 1, 2 and 3; exactly 70 % counts
  EXPECT_EQ(arms[0].images_per_second, 2000);

  ASSERT_TRUE(arms[1].to_baseline.has_value());
  EXPECT_NEAR(arms[1].to_baseline->mean, (-0.05 - 0.08 - 0.05) / 3, 1e-12);
  EXPECT_EQ(arms[1].to_baseline->n, 3U);
  EXPECT_EQ(arms[1].epochs_to_threshold.n, 2U);  // seed 1 never got there

  const std::string text = summary_text(runs);
  EXPECT_HAS(text, "compare_norms · data synthetic · 1,000 training images · 3 epochs · batch 500 · cpu");
  EXPECT_HAS(text, "46,010");
  EXPECT_HAS(text, "76.00 ±  2.48");
  EXPECT_HAS(text, "-6.00 ±  4.30");
  EXPECT_HAS(text, "3.0 (2 of 3)");
  EXPECT_HAS(text, "2,000");
  EXPECT_HAS(text, "(77.33)");
  EXPECT_EQ(text.find("-6.00 ±  4.30 ?"), std::string::npos);
}

TEST(Summary, PairsOnlySeedsThatBothFinished) {
  const auto arms = summarize(results_of({{"bn", 0, {0.5}},
                                          {"bn", 1, {0.1}, RunStatus::diverged},
                                          {"bn", 2, {0.6}},
                                          {"in", 0, {0.4}},
                                          {"in", 1, {0.4}},
                                          {"in", 3, {0.4}}}));
  EXPECT_EQ(arms[0].diverged, 1U);
  EXPECT_NEAR(arms[0].final_accuracy.mean, 0.55, 1e-12);
  EXPECT_EQ(arms[1].to_baseline->n, 1U);
  EXPECT_NEAR(arms[1].to_baseline->mean, -0.1, 1e-12);
}

TEST(Summary, DivergedAndUnfinishedRunsAreCounted) {
  const std::string text = summary_text(results_of({{"none", 0, {std::nan("")}, RunStatus::diverged},
                                                    {"none", 1, {std::nan("")}, RunStatus::diverged},
                                                    {"none", 2, {0.1}},
                                                    {"bn", 0, {0.5}, RunStatus::interrupted},
                                                    {"bn", 1, {0.5}},
                                                    {"in", 0, {0.5}, RunStatus::diverged}}));
  EXPECT_HAS(text, "2 of 3 diverged");
  EXPECT_HAS(text, "1 of 2 unfinished");
  EXPECT_HAS(text, "1 of 1 diverged");
  EXPECT_HAS(text, "in none of the means");
}

TEST(Summary, OneSeedHasNoInterval) {
  const std::string text = summary_text(results_of({{"bn", 0, {0.5}}, {"ln", 0, {0.4}}}));
  EXPECT_HAS(text, "50.00        ");
  EXPECT_HAS(text, "-10.00        ");
  EXPECT_EQ(text.find("-10.00 ±"), std::string::npos);
  EXPECT_HAS(text, "One seed says nothing about the spread");
}

TEST(Summary, SweptArmsMeetTheBaselineAtTheirOwnSetting) {
  std::vector<SampleRun> samples;
  for (const auto& [norm, base] : {std::pair{"bn", 0.5}, {"gn:4", 0.6}})
    for (const auto& [batch, change] : {std::pair{"2", -0.2}, {"16", 0.1}})
      samples.push_back(
          {norm, 0, {base + (norm == std::string("bn") ? change : 0)}, RunStatus::done, {{"b", batch}}});
  const auto arms = summarize(results_of(samples));
  ASSERT_EQ(arms.size(), 4U);
  EXPECT_EQ(arms[0].label, "bn-b2");
  EXPECT_EQ(arms[1].label, "bn-b16");
  EXPECT_EQ(arms[2].label, "gn4-b2");
  EXPECT_NEAR(arms[2].to_baseline->mean, 0.3, 1e-12);
  EXPECT_NEAR(arms[3].to_baseline->mean, 0.0, 1e-12);
}

TEST(Summary, WithoutBaselineOrResults) {
  const auto arms = summarize(results_of({{"ln", 0, {}, RunStatus::interrupted}}));
  EXPECT_FALSE(arms[0].to_baseline.has_value());
  EXPECT_EQ(arms[0].final_accuracy.n, 0U);
  EXPECT_TRUE(std::isnan(arms[0].images_per_second));
}

}  // namespace
}  // namespace normlab
