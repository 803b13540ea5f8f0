// The pictures: their numbers are those of the tables, and gnuplot makes of them what it should.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "host/data/cifar.hpp"
#include "host/data/synthetic.hpp"
#include "host/report/chart.hpp"
#include "host/report/chart_labels.hpp"
#include "host/report/palette.hpp"
#include "tests/report/pictures_of_study.hpp"

namespace normlab {
namespace {

using test::SampleRun;

using Plot = test::PicturesTest;

/// Outliers may leave the picture of a long curve, where they flatten it, but no layer may.
TEST(YRange, HoldsEveryPointOfAShortCurve) {
  Chart chart;
  chart.curves.resize(1);
  for (int x = 0; x < 40; ++x)
    chart.curves[0].points.push_back(curve_point(x, {x == 3 ? 50. : 0.1 + 0.001 * x}));
  EXPECT_GE(y_range({&chart, 1}).high, 50);
  for (int x = 40; x < 400; ++x) chart.curves[0].points.push_back(curve_point(x, {0.1}));
  EXPECT_LT(y_range({&chart, 1}).high, 1);
}

TEST_F(Plot, DataAreTheNumbersOfTheTable) {
  write(test::clear_winner());
  make();
  const auto arms = summarize(view().results);
  const Picture& curves = picture("test-accuracy");
  const Picture& finals = picture("final-accuracy");
  const auto means = test::block_of(finals.data, 1);
  ASSERT_EQ(means.size(), 3U);
  for (std::size_t i = 0; i < arms.size(); ++i) {
    const auto rows = test::block_of(curves.data, static_cast<int>(i));
    ASSERT_EQ(rows.size(), 2U);
    const Estimate& final_accuracy = arms[i].final_accuracy;
    EXPECT_EQ(rows[1][0], 2);
    EXPECT_NEAR(rows[1][1], 100 * final_accuracy.mean, 1e-6);
    EXPECT_NEAR(rows[1][4], 100 * (final_accuracy.mean - final_accuracy.half_width), 1e-6);
    EXPECT_NEAR(rows[1][5], 100 * (final_accuracy.mean + final_accuracy.half_width), 1e-6);
    EXPECT_EQ(rows[1][6], 3);
    EXPECT_NEAR(means[i][1], 100 * final_accuracy.mean, 1e-6);
    EXPECT_NEAR(means[i][2], rows[1][4], 1e-6);
    EXPECT_NEAR(means[i][3], rows[1][5], 1e-6);
  }
  const auto bn = test::block_of(curves.data, 1);
  EXPECT_NEAR(bn[0][2], 50, 1e-6);  // lowest and highest seed of the first epoch
  EXPECT_NEAR(bn[0][3], 72, 1e-6);
  EXPECT_EQ(test::block_of(finals.data, 0).size(), 9U);  // every seed is a dot
  const auto losses = test::block_of(picture("step-loss").data, 0);
  ASSERT_EQ(losses.size(), 4U);  // so few steps have a bin each
  EXPECT_NEAR(losses[3][1], 0.5, 1e-9);
  EXPECT_HAS(picture("test-accuracy").subtitle, "3 seeds");
}

/// No accuracy is below 0 or above 100 %, whatever the t-interval says; two seeds have none.
TEST_F(Plot, IntervalsStayWhereAccuraciesCanBe) {
  write({{"bn", 0, {0.99}},
         {"bn", 1, {0.93}},
         {"bn", 2, {0.99}},
         {"ln", 0, {0.02}},
         {"ln", 1, {0.10}},
         {"ln", 2, {0.02}},
         {"in", 0, {0.5}},
         {"in", 1, {0.7}}});
  make();
  const auto means = test::block_of(picture("final-accuracy").data, 1);
  ASSERT_EQ(means.size(), 3U);
  EXPECT_GT(means[0][2], 80);
  EXPECT_EQ(means[0][3], 100);
  EXPECT_EQ(means[1][2], 0);
  EXPECT_TRUE(std::isnan(means[2][2]) && std::isnan(means[2][3]));
  for (const int block : {0, 1, 2}) {
    const auto rows = test::block_of(picture("test-accuracy").data, block);
    EXPECT_FALSE(rows[0][4] < 0 || rows[0][5] > 100) << block;
    EXPECT_EQ(std::isnan(rows[0][4]), block == 2);
  }
  EXPECT_HAS(picture("final-accuracy").subtitle, "95 % t-interval");
  expect_all_drawn();
}

TEST_F(Plot, TwoSeedsHaveNoInterval) {
  write({{"bn", 0, {0.2}}, {"bn", 1, {0.4}}});
  make();
  EXPECT_EQ(picture("final-accuracy").subtitle.find("interval"), std::string::npos);
  EXPECT_TRUE(std::isnan(test::block_of(picture("test-accuracy").data, 0)[0][4]));
  expect_all_drawn();
}

/// Runs of other settings are curves of their own, and those that are there twice count once.
TEST_F(Plot, PooledStudiesAreToldApart) {
  write({{"bn", 0, {0.5}}, {"bn", 1, {0.6}}});
  const auto again = StudyDirectory::create("x", directory / "again");
  for (const auto& [seed, accuracy] : {std::pair{0, 0.5}, {1, 0.6}})
    test::write_run(again, {"bn", seed, {accuracy}});
  const auto other = StudyDirectory::create("x", directory / "other");
  for (const int seed : {0, 1})
    test::write_run(other,
                    {.norm = "bn", .seed = seed, .test_accuracies = {0.3}, .config = {{"lr", "0.02"}}});
  const StudyView study = view_study({{path, directory / "again", directory / "other"}});
  ASSERT_EQ(study.arms.size(), 2U);
  EXPECT_EQ(study.runs.size(), 4U);
  EXPECT_EQ(study.arms[0].label(), "bn lr=0.1");
  EXPECT_EQ(study.arms[1].label(), "bn lr=0.02");
  EXPECT_NE(study.arms[0].slug, study.arms[1].slug);
  EXPECT_NE(study.arms[0].color, study.arms[1].color);
  EXPECT_EQ(study.arms[0].runs.size(), 2U);
  ASSERT_EQ(study.repeats.size(), 1U);
  EXPECT_HAS(study.repeats[0], "bn-seed0, bn-seed1");
}

TEST_F(Plot, EveryPictureIsDrawn) {
  write(test::clear_winner());
  make();
  for (const char* name : {"final-accuracy", "test-accuracy", "train-accuracy", "test-loss", "train-loss",
                           "norm-none", "norm-bn", "norm-ln", "step-loss", "step-grad-norm", "learning-rate"})
    EXPECT_TRUE(has(name)) << name;
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_HAS(notes[0], "no run has recorded its predictions");
  expect_all_drawn();
  for (const Picture& one : pictures) {
    EXPECT_TRUE(std::filesystem::exists(directory / "plots" / (one.name + ".dat")));
    EXPECT_TRUE(std::filesystem::exists(directory / "plots" / (one.name + ".gp")));
  }
}

TEST_F(Plot, DivergedAndInterruptedRunsStandBesideTheOthers) {
  std::vector<SampleRun> runs{{"none", 0, {0.1, std::nan("")}, RunStatus::diverged},
                              {"bn", 0, {0.5, 0.6, 0.7}},
                              {"bn", 1, {0.9}, RunStatus::interrupted},
                              {"ln", 0, {}, RunStatus::interrupted}};
  for (SampleRun& run : runs) run.config = {{"epochs", "3"}};  // as planned
  write(runs);
  make();
  const std::string& data = picture("test-accuracy").data;
  const auto none = test::block_of(data, 0), bn = test::block_of(data, 1), rest = test::block_of(data, 2);
  EXPECT_NEAR(none[0][1], 10, 1e-6);
  EXPECT_EQ(none[1][6], 0);         // nothing finite, nothing drawn
  EXPECT_NEAR(bn[0][1], 50, 1e-6);  // the interrupted run is not in the mean
  EXPECT_NEAR(rest[0][1], 90, 1e-6);
  EXPECT_HAS(picture("test-accuracy").script, "'none (diverged)'");
  EXPECT_HAS(picture("test-accuracy").script, "a run ended early");
  EXPECT_FALSE(has("norm-ln"));
  expect_all_drawn();
}

TEST_F(Plot, NothingFinishedOrRecordedBreaksNothing) {
  write({{"bn", 0, {}, RunStatus::interrupted}, {"ln", 0, {std::nan("")}, RunStatus::diverged}});
  make();
  EXPECT_FALSE(has("final-accuracy"));
  EXPECT_FALSE(has("test-accuracy"));
  expect_all_drawn();
}

TEST_F(Plot, HeldOutImagesHaveCurvesOfTheirOwn) {
  SampleRun run{"bn", 0, {0.5, 0.6}};
  run.more = {{{"val.accuracy", ChannelKind::scalar, "", {}, {}}, {{1, 2, {0.45}}, {2, 4, {0.55}}}},
              {{"val.loss", ChannelKind::scalar, "", {}, {}}, {{1, 2, {2.5}}, {2, 4, {1.5}}}}};
  write({run});
  make();
  EXPECT_NEAR(test::block_of(picture("val-accuracy").data, 0)[1][1], 55, 1e-6);
  EXPECT_NEAR(test::block_of(picture("val-loss").data, 0)[0][1], 2.5, 1e-6);
  EXPECT_HAS(picture("norm-bn").script, "'val'");
  expect_all_drawn();
}

TEST_F(Plot, FiveSeedsHaveABox) {
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1, 2, 3, 4}) runs.push_back({"bn", seed, {0.5, 0.70 + 0.01 * seed}});
  write(runs);
  make();
  const auto box = test::block_of(picture("final-accuracy").data, 2);
  ASSERT_EQ(box.size(), 1U);
  EXPECT_NEAR(box[0][1], 71, 1e-6);
  EXPECT_NEAR(box[0][2], 73, 1e-6);
  expect_all_drawn();
}

/// Ten test images; every run takes image 3 for class 5, and seed 1 image 4 for class 5, too.
std::vector<Prediction> predictions_of(int seed) {
  std::vector<Prediction> predictions;
  for (std::uint16_t i = 0; i < 10; ++i) predictions.push_back({i, i, i, 0.9F});
  predictions[3].predicted = 5;
  if (seed == 1) predictions[4].predicted = 5;
  return predictions;
}

TEST_F(Plot, ConfusionAndMistakesComeFromThePredictions) {
  const Dataset set = make_synthetic(0, 20, 10);
  cifar::write_directory(directory / "data", set);
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1})
    runs.push_back({"bn",
                    seed,
                    {0.8},
                    RunStatus::done,
                    false,
                    predictions_of(seed),
                    {{"data", (directory / "data").string()}, {"data_digest", set.digest}}});
  write(runs);
  make();
  EXPECT_TRUE(notes.empty());
  const auto cells = test::block_of(picture("confusion-bn").data, 0);
  ASSERT_EQ(cells.size(), 100U);
  EXPECT_NEAR(cells[3 * 10 + 5][2], 100, 1e-6);
  EXPECT_NEAR(cells[4 * 10 + 5][2], 50, 1e-6);  // one seed of two
  EXPECT_NEAR(cells[4 * 10 + 4][2], 50, 1e-6);
  EXPECT_NEAR(cells[3 * 10 + 3][2], 0, 1e-6);

  const Picture& mistakes = picture("misclassified-bn");  // of seed 0: one image
  EXPECT_HAS(mistakes.subtitle, "seed 0");
  EXPECT_HAS(mistakes.script, "90 %");
  const auto pixels = test::block_of(mistakes.data, 0);
  ASSERT_EQ(pixels.size(), 1024U);
  EXPECT_TRUE(test::block_of(mistakes.data, 1).empty());
  const auto image = set.test.image(3);
  for (const std::size_t at : {0U, 517U, 1023U})
    for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(pixels[at][2 + c], image[c * 1024 + at]);
  expect_all_drawn();
}

TEST_F(Plot, WithoutItsDataAPictureIsLeftOutAndSaysSo) {
  write({{"bn",
          0,
          {0.8},
          RunStatus::done,
          false,
          predictions_of(0),
          {{"data", (directory / "gone").string()}}}});
  make();
  EXPECT_FALSE(has("misclassified-bn"));
  EXPECT_TRUE(has("confusion-bn"));
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_HAS(notes[0], "left out");
  EXPECT_HAS(notes[0], "--data DIR");
}

TEST_F(Plot, AnotherDataSetIsNotTakenForTheRuns) {
  cifar::write_directory(directory / "data", make_synthetic(1, 20, 10));
  write({{"bn",
          0,
          {0.8},
          RunStatus::done,
          false,
          predictions_of(0),
          {{"data", (directory / "data").string()}, {"data_digest", "0123"}}}});
  make();
  EXPECT_FALSE(has("misclassified-bn"));
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_HAS(notes[0], "is not the data set that the runs saw");
}

TEST_F(Plot, NamesAreTextAndNothingElse) {
  const std::string witness = (directory / "witness").string();
  const std::string name = "x'`touch " + witness + "`\"; system('touch " + witness + "') <b>&_{a}\n\\";
  write({{name, 0, {0.5, 0.6}}, {"bn", 0, {0.5, 0.7}}, {"../../up", 0, {0.5, 0.7}}});
  make();
  expect_all_drawn();
  EXPECT_FALSE(std::filesystem::exists(witness));
  for (const Picture& one : pictures)
    EXPECT_EQ(one.name.find_first_of("/.<' "), std::string::npos) << one.name;
}

TEST_F(Plot, MissingGnuplotIsOneClearError) {
  write({{"bn", 0, {0.5}}});
  const auto answer = test::run_program("normlog plot " + path.string());
  EXPECT_EQ(answer.status, 0) << answer.output;
  for (const char* command : {"plot ", "report "}) {
    const auto failed = test::run_program(
        std::string("normlog --help >/dev/null && PATH=/nowhere ./normlog ") + command + path.string());
    EXPECT_EQ(failed.status, 1);
    EXPECT_HAS(failed.output, "install the package gnuplot-nox");
    EXPECT_EQ(std::count(failed.output.begin(), failed.output.end(), '\n'), 1) << failed.output;
  }
  EXPECT_EQ(test::run_program("normlog plot --format gif " + path.string()).status, 2);
}

TEST(Palette, ANormHasOneColourAndNoTwoShareIt) {
  std::set<std::string> colors;
  const std::vector<std::string> norms{
      "none", "bn",   "ln",   "ln-elementwise", "in",   "rms", "rms-elementwise",
      "gn:1", "gn:2", "gn:4", "gn:8",           "gn:16"};
  for (const std::string& norm : norms) colors.insert(norm_color(norm));
  EXPECT_EQ(colors.size(), norms.size());
  EXPECT_EQ(norm_color("gn:4"), norm_color("gn"));
  for (const char* odd : {"", "gn:", "gn:x", "gn:-3", "gn:99999999999", "other"})
    EXPECT_EQ(norm_color(odd).size(), 7U) << odd;
}

TEST(Chart, LabelsMoveApartAsLittleAsNeeded) {
  const auto near = [](const std::vector<double>& a, const std::vector<double>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12);
  };
  near(spread({}, 0.1, 0, 1), {});
  near(spread({0.2, 0.8}, 0.1, 0, 1), {0.2, 0.8});
  near(spread({0.5, 0.5}, 0.1, 0, 1), {0.45, 0.55});
  near(spread({0.8, 0.5, 0.52}, 0.1, 0, 1), {0.8, 0.46, 0.56});
  near(spread({1, 1, 1}, 0.1, 0, 1), {0.8, 0.9, 1});
  near(spread({0, 0.01}, 0.1, 0, 1), {0, 0.1});
  near(spread({0.5, 0.5, 0.5}, 0.9, 0, 1), {0, 0.5, 1});  // no room: as far as it goes
}

}  // namespace
}  // namespace normlab
