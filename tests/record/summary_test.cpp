#include "host/record/summary.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <sstream>

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

std::string on_one_line(const std::string& text) {
  return std::regex_replace(text, std::regex("\n *"), " ");
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
  EXPECT_HAS(on_one_line(text),
             "compare_norms · data synthetic · 1,000 training images · 3 epochs · batch 500 · lr 0.1 · cpu");
  EXPECT_HAS(text, "46,010");
  EXPECT_HAS(text, "76.00 ±  2.48");
  EXPECT_HAS(text, "-6.00 ±  4.30");
  EXPECT_HAS(text, "3.0 (2 of 3)");
  EXPECT_HAS(text, "2,000");
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
  EXPECT_HAS(text, "-10.00         ?");
  EXPECT_EQ(text.find("-10.00 ±"), std::string::npos);
  EXPECT_HAS(text, "Fewer than three seeds say little about the spread");
}

/// Breaks of lines taken out.
TEST(Summary, TwoSeedsAreTheirValues) {
  const std::string text =
      summary_text(results_of({{"bn", 0, {0.1}}, {"bn", 1, {0.5054}}, {"ln", 0, {0.3}}, {"ln", 1, {0.3}}}));
  EXPECT_HAS(text, "  10.00, 50.54 ");
  EXPECT_HAS(text, "-20.54, +20.00 ?");
  EXPECT_EQ(text.find(" ± 2"), std::string::npos) << text;
}

TEST(Summary, IntervalsStayWhereAccuraciesCanBe) {
  const std::string text =
      summary_text(results_of({{"bn", 0, {0.1}}, {"bn", 1, {0.1}}, {"bn", 2, {0.4}}, {"ln", 0, {0.9}}}));
  EXPECT_HAS(text, "20.00 [0, 63.03]");
}

/// A norm's rate is half of what its accuracy means.
SampleRun at_rate(const std::string& norm, int seed, double accuracy, const std::string& lr,
                  const std::string& choice = "") {
  SampleRun run{norm, seed, {accuracy}};
  run.config = {{"lr", lr}};
  if (!choice.empty()) run.config.emplace_back("lr_choice", choice);
  return run;
}

TEST(Summary, RatesThatDifferAreNamedAndHowTheyWereChosen) {
  std::string text = summary_text(
      results_of({at_rate("bn", 0, 0.5, "0.1", "default"), at_rate("ln", 0, 0.4, "0.02", "default")}));
  EXPECT_HAS(text, "norm    lr   params");
  EXPECT_HAS(text, "bn     0.1   46,010");
  EXPECT_HAS(text, "ln    0.02   46,010");
  EXPECT_HAS(on_one_line(text),
             "lr              peak learning rate: the built-in default, found on held-out images of the "
             "synthetic set");
  text = summary_text(
      results_of({at_rate("bn", 0, 0.5, "0.1", "given"), at_rate("ln", 0, 0.4, "0.1", "given")}));
  EXPECT_HAS(on_one_line(text), " · lr 0.1 · ");
  EXPECT_EQ(text.find("  lr  "), std::string::npos);
  EXPECT_HAS(text, "peak learning rate: as given\n");
  // What older versions wrote says nothing.
  text = summary_text(results_of({at_rate("bn", 0, 0.5, "0.1"), at_rate("ln", 0, 0.4, "0.02")}));
  EXPECT_HAS(on_one_line(text), "peak learning rate (how it was chosen is not recorded) ");
  text = summary_text(results_of({at_rate("bn", 0, 0.5, "0.1"), at_rate("ln", 0, 0.4, "0.1")}));
  EXPECT_EQ(text.find("peak learning rate"), std::string::npos);
  EXPECT_EQ(text.find("*"), std::string::npos);
}

TEST(Summary, FitsIntoATerminal) {
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1, 2})
    for (const std::string norm : {"none", "bn", "ln", "gn:16", "in"}) {
      SampleRun run = at_rate(norm, seed,
                              seed == 1      ? 1.0
                              : norm == "bn" ? 0.7
                                             : 0.01,
                              norm == "bn" ? "0.1" : "0.0005");
      run.config.emplace_back("lr_choice", norm == "bn" ? "auto" : "auto, at chance");
      runs.push_back(run);
    }
  const std::string text = summary_text(results_of(runs));
  EXPECT_HAS(text, "80.00 [36.97, 100]");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto columns = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    EXPECT_LE(columns, 80) << line;
  }
}

TEST(Summary, NormsWithoutARateAreMarked) {
  const std::string text = summary_text(results_of(
      {at_rate("bn", 0, 0.5, "0.0005", "auto"), at_rate("ln", 0, 0.1, "0.0005", "auto, at chance")}));
  EXPECT_HAS(text, "bn    0.0005 ");
  EXPECT_HAS(text, "ln    0.0005*");
  EXPECT_HAS(
      on_one_line(text),
      "found by --lr auto on training images held out (bn); the smallest that --lr auto tried, since none "
      "learned (ln) ");
  EXPECT_HAS(text, "*               no rate that --lr auto tried did better than guessing");
}

// --- Several studies ---------------------------------------------------------------------------------------

class Pool : public ::testing::Test {
 protected:
  test::TemporaryDirectory directory;

  void write(const std::string& name, const std::vector<SampleRun>& samples) {
    const auto study = StudyDirectory::create("x", directory / name);
    for (const SampleRun& sample : samples) test::write_run(study, sample);
  }
  [[nodiscard]] std::vector<RunResults> read(const std::vector<std::string>& names) const {
    std::vector<std::filesystem::path> paths;
    for (const std::string& name : names) paths.push_back(directory / name);
    std::vector<RunResults> results;
    for (const auto& run : find_runs(paths)) results.push_back(read_run(run));
    return results;
  }
};

/// bn and ln with three seeds each, at these rates.
std::vector<SampleRun> study_at(const std::string& bn, const std::string& ln, double gain = 0) {
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1, 2}) {
    runs.push_back(at_rate("bn", seed, 0.50 + 0.1 * seed + gain, bn));
    runs.push_back(at_rate("ln", seed, 0.30 + 0.1 * seed, ln));
  }
  return runs;
}

TEST_F(Pool, AStudyRunTwiceCountsOnce) {
  write("a", study_at("0.1", "0.02"));
  write("b", study_at("0.1", "0.02"));
  const auto once = summarize(read({"a"})), twice = summarize(read({"a", "b"}));
  ASSERT_EQ(twice.size(), 2U);
  for (std::size_t i = 0; i < twice.size(); ++i) {
    EXPECT_EQ(twice[i].label, once[i].label);
    EXPECT_EQ(twice[i].runs, 3U);
    EXPECT_EQ(twice[i].final_accuracy.n, 3U);
    EXPECT_EQ(twice[i].final_accuracy.half_width, once[i].final_accuracy.half_width);
  }
  EXPECT_HAS(summary_text(read({"a", "b"})),
             "There more than once, with the same settings, seed and results");
  EXPECT_EQ(summary_text(read({"a"})).find("more than once"), std::string::npos);
}

TEST_F(Pool, MoreSeedsOfTheSameSettingsAreOneRow) {
  write("a", {at_rate("bn", 0, 0.5, "0.1"), at_rate("bn", 1, 0.6, "0.1")});
  write("b", {at_rate("bn", 1, 0.6, "0.1"), at_rate("bn", 2, 0.7, "0.1")});
  const auto arms = summarize(read({"a", "b"}));
  ASSERT_EQ(arms.size(), 1U);
  EXPECT_EQ(arms[0].label, "bn");
  EXPECT_EQ(arms[0].final_accuracy.n, 3U);
}

TEST_F(Pool, OtherSettingsAreRowsOfTheirOwn) {
  write("a", study_at("0.1", "0.02"));
  write("c", study_at("0.02", "0.02", -0.2));
  const auto runs = read({"a", "c"});
  const auto arms = summarize(runs);
  ASSERT_EQ(arms.size(), 3U) << "ln is the same in both";
  EXPECT_EQ(arms[0].label, "bn lr=0.1");
  EXPECT_EQ(arms[1].label, "bn lr=0.02");
  EXPECT_EQ(arms[2].label, "ln");
  EXPECT_NE(arms[0].arm, arms[1].arm);
  EXPECT_NEAR(arms[0].final_accuracy.mean, 0.6, 1e-12);
  EXPECT_NEAR(arms[1].final_accuracy.mean, 0.4, 1e-12);
  // Of two bn that with ln's rate.
  EXPECT_NEAR(arms[2].to_baseline->mean, 0.0, 1e-12);
  const std::string text = summary_text(runs);
  EXPECT_HAS(on_one_line(text),
             "Runs of different settings (lr) are rows of their own; `normlog compare A B`");
  EXPECT_HAS(text, "bn lr=0.02");
}

/// Where each study gave each norm a rate of its own, pairs stay those of their study.
TEST_F(Pool, OfSeveralRatesThatOfTheSameStudyIsThePartner) {
  write("a", study_at("0.1", "0.02"));
  write("c", study_at("0.2", "0.05", -0.2));
  const auto arms = summarize(read({"a", "c"}));
  ASSERT_EQ(arms.size(), 4U);
  EXPECT_EQ(arms[2].label, "ln lr=0.02");
  EXPECT_NEAR(arms[2].to_baseline->mean, -0.2, 1e-12);
  EXPECT_NEAR(arms[3].to_baseline->mean, 0.0, 1e-12);
}

TEST_F(Pool, OnlyEqualSettingsArePaired) {
  std::vector<SampleRun> a = study_at("0.1", "0.02"), b = study_at("0.1", "0.02");
  std::erase_if(a, [](const SampleRun& run) { return run.norm == "ln"; });
  std::erase_if(b, [](const SampleRun& run) { return run.norm == "bn"; });
  for (SampleRun& run : b) run.config.emplace_back("augment", "true");
  for (SampleRun& run : a) run.config.emplace_back("augment", "false");
  write("a", a);
  write("b", b);
  const auto arms = summarize(read({"a", "b"}));
  ASSERT_EQ(arms.size(), 2U);
  EXPECT_EQ(arms[0].label, "bn augment=false");
  EXPECT_EQ(arms[1].label, "ln augment=true");
  EXPECT_FALSE(arms[1].to_baseline.has_value());
  EXPECT_EQ(difference(arms[0], arms[1]).n, 0U);
  EXPECT_EQ(summary_text(read({"a", "b"})).find(" -20.00"), std::string::npos);
}

/// A sweep has a row for each value; a study at one of them adds to that row.
TEST_F(Pool, ASweepAndAStudyAtOneOfItsValues) {
  const auto swept = [](const std::string& lr, double accuracy) {
    SampleRun run = at_rate("bn", 0, accuracy, lr);
    run.config.emplace_back("swept", "lr");
    return run;
  };
  write("sweep", {swept("0.1", 0.5), swept("0.2", 0.6)});
  write("study", {at_rate("bn", 0, 0.5, "0.1"), at_rate("bn", 1, 0.7, "0.1")});
  const auto arms = summarize(read({"study", "sweep"}));
  ASSERT_EQ(arms.size(), 2U);
  EXPECT_EQ(arms[0].label, "bn lr=0.1");
  EXPECT_EQ(arms[0].final_accuracy.n, 2U);
  EXPECT_EQ(arms[1].label, "bn-lr0.2");
}

/// A sweep of rates beside a study: what the study says alone, it still says, and every rate is named.
TEST_F(Pool, ASweepOfRatesTakesNothingFromAStudy) {
  write("a", study_at("0.1", "0.02"));
  SampleRun swept = at_rate("gn:4", 0, 0.9, "0.5");
  swept.config.emplace_back("swept", "lr");
  write("sweep", {swept});
  const auto alone = summarize(read({"a"})), arms = summarize(read({"a", "sweep"}));
  ASSERT_EQ(arms.size(), 3U);
  EXPECT_EQ(arms[0].label, "bn lr=0.1");
  EXPECT_EQ(arms[1].label, "ln lr=0.02");
  EXPECT_EQ(arms[2].label, "gn4-lr0.5");
  ASSERT_TRUE(arms[1].to_baseline.has_value());
  EXPECT_EQ(arms[1].to_baseline->mean, alone[1].to_baseline->mean);
  EXPECT_EQ(arms[1].lr, "0.02");
  EXPECT_FALSE(arms[2].to_baseline.has_value()) << "bn was not there at its rate";
}

/// Two sweeps of one norm each: the rows say what was swept, though each norm has one value only.
TEST_F(Pool, SweepsOfOneValueEachAreNamedByIt) {
  const auto at_batch = [](const std::string& norm, const std::string& batch) {
    SampleRun run = at_rate(norm, 0, 0.5, "0.1");
    run.config.insert(run.config.end(), {{"swept", "batch_size"}, {"batch_size", batch}});
    return run;
  };
  write("a", {at_batch("bn", "8")});
  write("b", {at_batch("ln", "16")});
  const auto arms = summarize(read({"a", "b"}));
  ASSERT_EQ(arms.size(), 2U);
  EXPECT_EQ(arms[0].label, "bn-b8");
  EXPECT_EQ(arms[1].label, "ln-b16");
}

/// Where more differs than a table can name, the study does.
TEST_F(Pool, RunsThatDifferInMuchAreNamedByTheirStudy) {
  write("a", {at_rate("bn", 0, 0.5, "0.1")});
  SampleRun other = at_rate("bn", 0, 0.5, "0.1");
  for (const char* key : {"augment", "clip", "init", "schedule"}) other.config.emplace_back(key, "other");
  write("b", {other});
  const auto arms = summarize(read({"a", "b"}));
  ASSERT_EQ(arms.size(), 2U);
  EXPECT_EQ(arms[0].label, "bn in a");
  EXPECT_EQ(arms[1].label, "bn in b");
}

/// Without config.toml nothing is known but the name; the rows of the others stay as they were.
TEST_F(Pool, ARunWithoutItsConfigurationChangesNoOtherRow) {
  write("a", study_at("0.1", "0.02"));
  std::filesystem::remove(directory / "a/ln-seed1/config.toml");
  const auto arms = summarize(read({"a"}));
  ASSERT_EQ(arms.size(), 3U);
  EXPECT_EQ(arms[0].label, "bn");
  EXPECT_EQ(arms[1].label, "ln");
}

TEST(Summary, SweptArmsMeetTheBaselineAtTheirOwnSetting) {
  std::vector<SampleRun> samples;
  for (const auto& [norm, base] : {std::pair{"bn", 0.5}, {"gn:4", 0.6}})
    for (const auto& [batch, change] : {std::pair{"2", -0.2}, {"16", 0.1}})
      samples.push_back({.norm = norm,
                         .test_accuracies = {base + (norm == std::string("bn") ? change : 0)},
                         .config = {{"swept", "batch_size"}, {"batch_size", batch}}});
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
