// Sweeps: their arms line up, their pictures hold the table's numbers, and their verdict agrees with both.

#include "host/report/sweep.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "host/report/html.hpp"
#include "host/report/report.hpp"
#include "host/report/sweep_verdict.hpp"
#include "layers/error.hpp"
#include "tests/report/laboratory_studies.hpp"
#include "tests/report/pictures_of_study.hpp"

namespace normlab {
namespace {

using test::SampleRun;

class SweepStudy : public test::PicturesTest {
 protected:
  [[nodiscard]] std::vector<std::string> words() const {
    const StudyView study = view();
    const auto sweep = sweep_of(study);
    return sweep ? sweep_verdict(study, *sweep) : std::vector<std::string>{};
  }
  [[nodiscard]] bool says(const std::string& sentence) const {
    const auto all = words();
    return std::find(all.begin(), all.end(), sentence) != all.end();
  }
  [[nodiscard]] std::string page() {
    StudyView study = view();
    write_report(study, directory / "page.html", "");
    return test::read_text(directory / "page.html");
  }
  /// A run that sweeps: the keys as in the configuration, the values as texts.
  static SampleRun swept(const std::string& norm, int seed, double accuracy,
                         const std::vector<std::pair<std::string, std::string>>& values,
                         bool diverged = false) {
    SampleRun run{norm, seed, {accuracy}, diverged ? RunStatus::diverged : RunStatus::done};
    std::string keys;
    for (const auto& [key, value] : values) {
      run.config.emplace_back(key, value);
      keys += (keys.empty() ? "" : ",") + key;
    }
    run.config.emplace_back("swept", keys);
    return run;
  }
};

TEST_F(SweepStudy, LinesPanelsAndSettingsAreTheConfigurations) {
  std::vector<SampleRun> runs;
  for (const char* norm : {"bn", "none"})
    for (const char* depth : {"40", "5", "10"})
      for (const char* clip : {"0", "1"})
        runs.push_back(swept(norm, 0, 0.5, {{"depth", depth}, {"clip", clip}}));
  write(runs);
  const StudyView study = view();
  const auto sweep = sweep_of(study);
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->key, "depth");
  EXPECT_TRUE(sweep->is_log);
  ASSERT_EQ(sweep->tics.size(), 3U);
  EXPECT_EQ(sweep->tics[2].text, "40");
  ASSERT_EQ(sweep->panels.size(), 2U);
  EXPECT_EQ(sweep->panels[0].setting, "no clipping");
  EXPECT_EQ(sweep->panels[1].setting, "clipped at 1");
  ASSERT_EQ(sweep->panels[0].lines.size(), 2U);
  const SweepLine& none = sweep->panels[0].lines[0];
  EXPECT_EQ(none.norm, "none");
  ASSERT_EQ(none.points.size(), 3U);
  EXPECT_EQ(none.points[0].x, 5);
  EXPECT_EQ(none.points[0].arm->summary.arm, "none-d5-clip0");
  EXPECT_EQ(none.at(7), nullptr);
  EXPECT_EQ(settings_of(study).size(), 6U);
  EXPECT_EQ(settings_of(study)[0].name, "depth 5, no clipping");
}

TEST_F(SweepStudy, BatchSizeSaysWhereBnFallsBehind) {
  write(test::batch_study());
  const auto said = words();
  ASSERT_EQ(said.size(), 4U);
  EXPECT_EQ(
      said[0],
      "Highest of all is bn at batch size 128, with 77.00 % test accuracy after the last epoch (3 seeds).");
  EXPECT_EQ(said[1],
            "bn is below gn:4 at batch size 2 and 4 (most at 2: 40.00 against 70.00 %) and above it at 8, "
            "32, 128 and "
            "512.");
  EXPECT_EQ(said[2],
            "From batch size 2 to 512, mean accuracy varies: none by 4.00 points, bn by 37.00 points and "
            "gn:4 by 2.00 "
            "points.");
  EXPECT_EQ(said[3], "Of 54 runs, 3 are in none of the means: none diverged in 3.");
  const std::string html = page();
  for (const std::string& sentence : said)
    EXPECT_NE(html.find(escaped(sentence)), std::string::npos) << sentence;
  EXPECT_NE(html.find("<span class=\"best\">77.00 ± 0.50</span>"), std::string::npos);
  EXPECT_NE(html.find("3 of 3 diverged"), std::string::npos);
  EXPECT_NE(html.find("Pictures of a single setting are those at batch size 32:"), std::string::npos);
}

/// One chart has one place for each norm at each batch size.
TEST_F(SweepStudy, SweepsOfOtherSettingsAreRefused) {
  write(test::batch_study());
  const auto other = StudyDirectory::create("x", directory / "other");
  for (SampleRun run : test::batch_study()) {
    run.config.emplace_back("augment", "true");
    test::write_run(other, run);
  }
  try {
    (void)view_study({{path, directory / "other"}});
    FAIL() << "both are drawn in one chart";
  } catch (const Error& error) {
    EXPECT_HAS(std::string(error.what()), "these runs sweep batch_size, but differ in augment, too");
    EXPECT_HAS(std::string(error.what()), "normlog compare A B");
  }
  EXPECT_HAS(summary_text([&] {
               std::vector<RunResults> runs;
               for (const auto& run : find_runs({{path, directory / "other"}})) runs.push_back(read_run(run));
               return runs;
             }()),
             "bn-b2 augment=true");
}

TEST_F(SweepStudy, TwoSeedsAreTheirValues) {
  write(test::batch_study(2));
  EXPECT_TRUE(
      says("bn is below gn:4 at batch size 2 and 4 (most at 2: 39.90 against 69.90 %) and above it at 8, 32, "
           "128 and 512 (of two seeds, so this may be chance)."));
  EXPECT_NE(page().find("76.80, 77.00"), std::string::npos);
  make();
  const auto bn = test::block_of(picture("test-accuracy-by-batch-size").data, 1);
  EXPECT_TRUE(std::isnan(bn[0][4]));
  EXPECT_HAS(picture("test-accuracy-by-batch-size").subtitle, "bar: from one seed to the other");
  expect_all_drawn();
}

TEST_F(SweepStudy, RatesThatDifferAreNamed) {
  std::vector<SampleRun> runs = test::batch_study();
  for (SampleRun& run : runs) run.config.emplace_back("lr", run.norm == "bn" ? "0.4" : "0.02");
  write(runs);
  EXPECT_HAS(words()[0], "Highest of all is bn at batch size 128, learning rate 0.4, with 77.00 %");
}

TEST_F(SweepStudy, OneSeedIsSaidToBeOne) {
  write(test::batch_study(1));
  EXPECT_TRUE(
      says("bn is below gn:4 at batch size 2 and 4 (most at 2: 39.80 against 69.80 %) and above it at 8, 32, "
           "128 and "
           "512 (of one seed, so this may be chance)."));
}

TEST_F(SweepStudy, PicturesHoldTheNumbers) {
  write(test::batch_study());
  make();
  const Picture& accuracy = picture("test-accuracy-by-batch-size");
  const auto bn = test::block_of(accuracy.data, 1);
  ASSERT_EQ(bn.size(), 6U);
  EXPECT_EQ(bn[0][0], 2);
  EXPECT_NEAR(bn[0][1], 40, 1e-6);
  const double half = 4.3027 * 0.2 / std::sqrt(3.0);  // of the t-interval of 39.8, 40, 40.2
  EXPECT_NEAR(bn[0][4], 40 - half, 1e-3);
  EXPECT_NEAR(bn[0][5], 40 + half, 1e-3);
  EXPECT_HAS(accuracy.script, "set logscale x");
  EXPECT_HAS(accuracy.script, "'512' 512");
  EXPECT_HAS(accuracy.subtitle, "×: diverged");
  EXPECT_HAS(accuracy.script, "set label '' at 512, graph");
  EXPECT_NEAR(test::block_of(picture("memory").data, 1)[5][1], (3e5 * 512 + 2e6) / (1 << 20), 1e-3);
  // bn as it is evaluated: running, of the batch, re-estimated; loss in the panel beside.
  const std::string& modes = picture("statistics-bn-b2").data;
  EXPECT_NEAR(test::block_of(modes, 0)[0][1], 40, 1e-6);
  EXPECT_NEAR(test::block_of(modes, 1)[0][1], 41, 1e-4);
  EXPECT_NEAR(test::block_of(modes, 2)[0][1], 42, 1e-4);
  EXPECT_NEAR(test::block_of(modes, 3)[0][1], 1.25, 1e-6);
  EXPECT_NEAR(test::block_of(modes, 4)[0][1], 1.1, 1e-6);
  EXPECT_FALSE(has("statistics-gn4-b2"));
  EXPECT_TRUE(has("norm-bn-b32"));  // details of one setting
  EXPECT_FALSE(has("norm-bn-b2"));
  expect_all_drawn();
}

TEST_F(SweepStudy, LearningRateSaysTheLargestUsable) {
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1}) {
    for (const auto& [lr, bn, ln] :
         {std::tuple{"0.01", 0.60, 0.70}, {"0.1", 0.76, 0.69}, {"1", 0.70, 0.40}}) {
      runs.push_back(swept("bn", seed, bn, {{"lr", lr}}));
      runs.push_back(swept("ln", seed, ln, {{"lr", lr}}));
      // One seed of two diverges at 0.1: not usable.
      runs.push_back(
          swept("none", seed, 0.6, {{"lr", lr}}, std::string(lr) != "0.01" && (seed == 1 || bn < 0.75)));
    }
  }
  write(runs);
  EXPECT_TRUE(says("Largest usable learning rate: none 0.01, bn 0.1 and ln 0.1."));
  EXPECT_TRUE(says("Of 18 runs, 3 are in none of the means: none diverged in 3."));
}

TEST_F(SweepStudy, LearningRatesAreJudgedOnImagesHeldOut) {
  std::vector<SampleRun> runs;
  for (const auto& [lr, test, val] : {std::tuple{"0.1", 0.9, 0.5}, {"1", 0.2, 0.6}}) {
    SampleRun run = swept("bn", 0, test, {{"lr", lr}});
    run.numbers.emplace_back("val_images", 100);
    run.more.push_back(test::scalar_sample("val.accuracy", 1, 2, val));
    runs.push_back(run);
  }
  write(runs);
  EXPECT_TRUE(
      says("Highest of all is bn at learning rate 1, with 60.00 % held-out accuracy after the last "
           "epoch (1 seed)."));
  EXPECT_TRUE(says("Largest usable learning rate: bn 1 (the largest tried)."));
  EXPECT_NE(summary_text(view().results).find("held-out accuracy %"), std::string::npos);
  const std::string text = page();
  EXPECT_NE(text.find("Accuracy on training images held out"), std::string::npos);
  EXPECT_NE(text.find("val-accuracy-by-lr"), std::string::npos);
}

TEST_F(SweepStudy, DepthSaysWhoTrainsAndOnceForEqualSettings) {
  std::vector<SampleRun> runs;
  for (const char* init : {"he", "torch"})
    for (const char* depth : {"5", "20"}) {
      runs.push_back(swept("bn", 0, 0.7, {{"depth", depth}, {"init", init}}));
      runs.push_back(
          swept("none", 0, std::string(depth) == "5" ? 0.6 : 0.11, {{"depth", depth}, {"init", init}}));
    }
  write(runs);
  EXPECT_TRUE(says("At every setting: bn trains at every depth; none trains at 5 but not at 20."));
}

TEST_F(SweepStudy, DepthSaysWhatASettingChanges) {
  std::vector<SampleRun> runs;
  for (const char* clip : {"0", "1"})
    for (const char* depth : {"5", "20", "40"})
      runs.push_back(
          swept("none", 0, std::string(clip) == "1" ? 0.5 : 0.1, {{"depth", depth}, {"clip", clip}}));
  write(runs);
  EXPECT_TRUE(says("no clipping: none trains at no depth tried."));
  EXPECT_TRUE(says("clipped at 1: none trains at every depth."));
}

TEST_F(SweepStudy, GroupsStandBesideTheOtherNorms) {
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1, 2}) {
    runs.push_back({"bn", seed, {0.80}});
    runs.push_back({"gn:1", seed, {0.60 + 0.001 * seed}});
    runs.push_back({"gn:2", seed, {0.699 + 0.002 * ((seed + 1) % 3)}});
    runs.push_back({"gn:16", seed, {0.701 + 0.001 * seed}});
  }
  write(runs);
  EXPECT_EQ(words().back(),
            "Of the groups, gn:16 ends highest, with 70.20 %; below it by more than the 95 % interval: gn:1 "
            "(-10.10); "
            "not distinguishable from it: gn:2 (-0.10) (points, paired by seed).");
  make();
  const Picture& groups = picture("test-accuracy-by-groups");
  const auto gn = test::block_of(groups.data, 0);
  ASSERT_EQ(gn.size(), 3U);
  EXPECT_EQ(gn[2][0], 16);
  EXPECT_NEAR(gn[0][1], 60.1, 1e-6);
  EXPECT_HAS(groups.script, "first 80 to graph 1");  // bn's level
}

TEST_F(SweepStudy, AllDivergedOrNoneSweptOrOneValue) {
  write({swept("bn", 0, 0.1, {{"lr", "1"}}, true), swept("bn", 0, 0.1, {{"lr", "10"}}, true)});
  EXPECT_EQ(words()[0], "No run finished, so there is no final accuracy to compare.");
  EXPECT_TRUE(says("Largest usable learning rate: bn none of those tried."));
  make();
  EXPECT_FALSE(has("test-accuracy-by-lr"));  // nothing to draw
  expect_all_drawn();
  EXPECT_NE(page().find("1 of 1 diverged"), std::string::npos);
}

TEST_F(SweepStudy, OddValuesStillLineUp) {
  // Values that are no numbers stand in a row; a run without the key, too; hostile ones stay text.
  const std::string odd = "<b>'x\\";
  SampleRun without{"bn", 3, {0.4}};
  write({swept("bn", 0, 0.5, {{"init", "he"}}), swept("bn", 1, 0.6, {{"init", odd}}), without});
  const StudyView study = view();
  const auto sweep = sweep_of(study);
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->tics.size(), 3U);
  EXPECT_FALSE(sweep->is_log);
  make();
  expect_all_drawn();
  EXPECT_EQ(page().find("<b>"), std::string::npos);
}

TEST_F(SweepStudy, LargeOnesStayReadable) {
  std::vector<SampleRun> runs;
  for (int width = 1; width <= 12; ++width)
    for (const char* lr :
         {"0.01", "0.03", "0.1", "0.3", "1", "3", "10", "30", "100", "300", "1000", "3000", "10000"})
      runs.push_back(swept("bn", 0, 0.5, {{"lr", lr}, {"width", std::to_string(width)}}));
  write(runs);
  make();
  EXPECT_LE(pictures.size(), 25U);
  EXPECT_NE(std::find_if(notes.begin(), notes.end(),
                         [](const std::string& note) {
                           return note.find("8 of 156 settings, evenly chosen") != std::string::npos;
                         }),
            notes.end());
  EXPECT_NE(std::find_if(notes.begin(), notes.end(),
                         [](const std::string& note) {
                           return note.find("8 of 12 settings, evenly chosen") != std::string::npos;
                         }),
            notes.end());
}

}  // namespace
}  // namespace normlab
