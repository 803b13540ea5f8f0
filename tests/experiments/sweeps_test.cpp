// Sweeps over depth and learning rate, rates that are found, names, and what --full says.

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "experiments/study/range_test.hpp"
#include "experiments/study/usable_rate.hpp"
#include "host/record/run_name.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;

class Sweeps : public ::testing::Test {
 protected:
  [[nodiscard]] std::string out(const std::string& name) const { return (directory_.path() / name).string(); }

  test::TemporaryDirectory directory_;
};

TEST(RunNames, HaveTheSweptValuesInAFixedOrder) {
  RunSpec run;
  run.norm = Norm::parse("none");
  run.seed = 2;
  EXPECT_EQ(run.name(), "none-seed2");
  run.net = "plain:40";
  run.clip = 1;
  run.swept = {"clip", "init", "depth"};
  EXPECT_EQ(run.name(), "none-d40-he-clip1-seed2");
  run.batch_size = 64;
  run.micro_batch = 8;
  run.width = 0.5;
  run.lr = 0.003;
  run.swept = {"lr", "width", "micro_batch", "batch_size"};
  EXPECT_EQ(run.name(), "none-b64-mb8-w0.5-lr0.003-seed2");
  EXPECT_EQ(run.arm(), "none-b64-mb8-w0.5-lr0.003");
}

TEST_F(Sweeps, DepthTrainsEveryCombinationOnce) {
  const ProgramResult result = run_program(
      "depth --limit-train 60 --limit-test 50 --epochs 1 --norms none,bn --depths 2,4 --inits he,torch "
      "--clips 0,0.5 "
      "--out " +
      out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* name : {"none-d2-he-clip0-seed0", "bn-d4-torch-clip0.5-seed0"}) {
    const RunConfig config = RunConfig::read(fs::path(out("s")) / name / "config.toml");
    EXPECT_EQ(config.text("swept"), "depth,init,clip");
    EXPECT_EQ(run_name(arm_name(config), 0), name);
    EXPECT_EQ(config.text("net"), "plain:" + config.text("depth"));
  }
  EXPECT_EQ(read_figures(out("s")).size(), 16U);
  EXPECT_NE(result.output.find("none, torch, clip 0.5"), std::string::npos) << result.output;
  for (const char* wrong : {"--depths 0", "--depths 2,x", "--inits he,she", "--clips -1", "--inits he,he"})
    EXPECT_EQ(run_program(std::string("depth ") + wrong + " --out " + out("t")).status, 2) << wrong;
  EXPECT_FALSE(fs::exists(out("t")));
}

TEST_F(Sweeps, LearningRatesAreJudgedOnHeldOutImages) {
  const ProgramResult result = run_program(
      "learning_rate --limit-train 150 --limit-test 50 --val 50 --epochs 1 --norms none --lrs 0.01,1e12 "
      "--widths 0.5,1 "
      "--schedule constant --out " +
      out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_TRUE(fs::exists(out("s") + "/none-w0.5-lr0.01-seed0"));
  EXPECT_EQ(RunConfig::read(out("s") + "/none-w0.5-lr0.01-seed0/config.toml").text("swept"), "lr,width");
  for (const char* part : {"none, width 0.5", "diverged", "largest usable rate", "0.01"})
    EXPECT_NE(result.output.find(part), std::string::npos) << part << result.output;
  for (const char* wrong : {"--val 0", "--within 0", "--lrs 0.1,-1", "--lr 0.1", "--widths 0"})
    EXPECT_EQ(run_program(std::string("learning_rate ") + wrong + " --out " + out("t")).status, 2) << wrong;
}

/// A finished (or diverged) run of a grid of rates.
RunFigures at_rate(const char* norm, double lr, std::int64_t seed, double accuracy, bool diverged = false) {
  RunFigures figures;
  figures.run.norm = norm;
  figures.run.seed = seed;
  figures.run.status = diverged ? "diverged" : "done";
  figures.run.config.set("swept", "lr");
  figures.run.config.set("lr", ConfigValue(lr));
  figures.last["val.accuracy"] = accuracy;
  return figures;
}

TEST(UsableRates, AreWithinReachOfTheBestAndFinishWithEverySeed) {
  const std::vector<RunFigures> runs{
      at_rate("bn", 0.1, 0, 0.90), at_rate("bn", 0.1, 1, 0.88), at_rate("bn", 0.3, 0, 0.87),
      at_rate("bn", 0.3, 1, 0.83), at_rate("bn", 1, 0, 0.89),   at_rate("bn", 1, 1, 0.1, true),
      at_rate("bn", 0.6, 0, 0.83), at_rate("bn", 0.01, 0, 0.2), at_rate("none", 1, 0, 0.1, true)};
  const std::vector<UsableRate> rates = usable_rates(runs);
  ASSERT_EQ(rates.size(), 2U);
  EXPECT_EQ(rates[0].best, 0.1);
  EXPECT_DOUBLE_EQ(rates[0].accuracy, 0.89);
  EXPECT_EQ(rates[0].largest, 0.3) << "0.6 is 6 points below the best, and at 1 a seed diverged";
  EXPECT_FALSE(rates[0].at_the_end);
  EXPECT_EQ(rates[1].best, 0) << "it diverged everywhere";
}

TEST(RangeTests, TakeTheBestRateAndTheSmallerOfEquals) {
  const std::vector<RunFigures> runs{at_rate("bn", 0.2, 0, 0.5), at_rate("bn", 0.1, 0, 0.5),
                                     at_rate("bn", 0.05, 0, 0.4)};
  const Guess guess{0.1, 1000};
  const std::map<std::string, FoundRate> found = best_rates(runs, guess);
  EXPECT_EQ(found.at("bn").lr, 0.1);
  EXPECT_TRUE(found.at("bn").learned);
  EXPECT_EQ(found.at("bn").accuracies, "0.05 40.00 %, 0.1 50.00 %, 0.2 50.00 %");
  EXPECT_THROW(static_cast<void>(best_rates(std::vector{at_rate("none", 1, 0, 0.1, true)}, guess)), Error);
}

/// What guesses have at several rates, all but one time in a hundred: 0.1 + 3 deviations of 0.0095, about.
TEST(RangeTests, KnowWhatGuessingGives) {
  EXPECT_NEAR((Guess{0.1, 1000}.highest(8)), 0.1 + 3.05 * std::sqrt(0.1 * 0.9 / 1000), 0.003);
  EXPECT_NEAR((Guess{0.1, 40}.highest(8)), 0.1 + 3.05 * std::sqrt(0.1 * 0.9 / 40), 0.05);
  EXPECT_GT((Guess{0.1, 40}.highest(8)), 0.22) << "few images tell little";
  EXPECT_NEAR((Guess{0.01, 10'000}.highest(8)), 0.01 + 3.1 * std::sqrt(0.01 * 0.99 / 10'000), 0.0005);
  EXPECT_GE((Guess{0.1, 1000}.highest(13)), (Guess{0.1, 1000}.highest(8)));
  EXPECT_EQ((Guess{0.9, 3}.highest(8)), 1) << "nothing can beat it";
}

TEST(RangeTests, AtChanceTheSmallestRateIsTakenAndMarked) {
  const std::vector<RunFigures> runs{at_rate("ln", 0.005, 0, 0.1, true), at_rate("ln", 0.01, 0, 0.10),
                                     at_rate("ln", 0.02, 0, 0.125),      at_rate("ln", 0.05, 0, 0.09),
                                     at_rate("bn", 0.01, 0, 0.10),       at_rate("bn", 0.02, 0, 0.14)};
  const std::map<std::string, FoundRate> found = best_rates(runs, {0.1, 1000});
  EXPECT_FALSE(found.at("ln").learned);
  EXPECT_EQ(found.at("ln").lr, 0.01) << "the smallest that did not diverge";
  EXPECT_TRUE(found.at("bn").learned);
  EXPECT_EQ(found.at("bn").lr, 0.02);
  EXPECT_NE(rates_text(found).find(
                "ln              takes 0.01   (NO RATE LEARNED: the smallest) 0.005 diverged, 0.01 "),
            std::string::npos)
      << rates_text(found);
}

TEST(RangeTests, WidenForNormsWithoutARateAlone) {
  Dataset data;
  data.class_names = {"a", "b"};
  data.train.count = 1000;
  data.train.pixels.resize(1000 * data.train.image_bytes());
  data.train.labels.resize(1000);
  for (std::size_t i = 0; i < 600; ++i) data.train.labels[i] = 1;
  StudyOptions options;
  options.norms = "bn,ln";
  std::vector<RunSpec> runs;
  for (const Norm& norm : *options.norms) runs.push_back(run_of(options, norm, 0));
  RangeTest test(options, data, runs);
  EXPECT_EQ(test.guess.share, 0.6) << "who guesses names the most frequent class";
  EXPECT_EQ(test.guess.images, 200);
  std::vector<RunFigures> found;
  for (const RunSpec& run : test.runs)
    found.push_back(
        at_rate(run.norm.str().c_str(), run.lr, 0, run.norm.str() == "bn" && run.lr == 0.1 ? 0.9 : 0.65));
  // What was widened before the study was stopped changes nothing.
  found.push_back(at_rate("ln", 0.001, 0, 0.95));
  const std::vector<Norm> none = test.without_a_rate(found);
  ASSERT_EQ(none.size(), 1U);
  EXPECT_EQ(none[0].str(), "ln");
  const std::size_t before = test.runs.size();
  test.widen(none);
  EXPECT_EQ(test.runs.size(), before + 5);
  for (std::size_t i = before; i < test.runs.size(); ++i) {
    EXPECT_EQ(test.runs[i].norm.str(), "ln");
    EXPECT_TRUE(test.runs[i].lr < 0.005 || test.runs[i].lr > 1);
  }
  EXPECT_EQ(best_rates(found, test.guess).at("ln").lr, 0.001);
}

TEST(RangeTests, GiveLargeBatchesEnoughSteps) {
  Dataset data;
  data.class_names = {"a", "b"};
  data.train.count = 10'000;
  data.train.pixels.resize(10'000 * data.train.image_bytes());
  data.train.labels.resize(10'000);
  StudyOptions options;
  options.norms = "bn";
  for (const auto& [batch_size, images] : {std::pair{32, 5000}, {80, 9000}, {512, 10'000}}) {
    options.batch_size = batch_size;
    const std::vector<RunSpec> runs{run_of(options, options.norms->front(), 0)};
    const RangeTest test(options, data, runs);
    EXPECT_EQ(test.data.train.count, images) << batch_size;
    EXPECT_EQ(test.options.val, 1000);
  }
}

TEST_F(Sweeps, AutomaticRatesAreFoundRecordedAndRepeatable) {
  const std::string what =
      "compare_norms --limit-train 80 --limit-test 20 --epochs 1 --diagnose 0 --norms bn --groups 2,4 "
      "--seeds 1 --lr "
      "auto ";
  const ProgramResult one = run_program(what + "--threads 1 --out " + out("one"));
  ASSERT_EQ(one.status, 0) << one.output;
  ASSERT_EQ(run_program(what + "--threads 2 --out " + out("two")).status, 0);
  for (const char* run : {"bn-seed0", "gn2-seed0", "gn4-seed0"}) {
    const RunConfig config = RunConfig::read(fs::path(out("one")) / run / "config.toml");
    const RunConfig again = RunConfig::read(fs::path(out("two")) / run / "config.toml");
    EXPECT_NE(config.text("lr_test").find(config.text("lr") + " "), std::string::npos);
    EXPECT_EQ(config.text("lr"), again.text("lr"));
    EXPECT_EQ(config.text("lr_test"), again.text("lr_test"));
    EXPECT_EQ(config.text("lr_choice").substr(0, 4), "auto");
  }
  EXPECT_EQ(read_figures(out("one")).size(), 3U) << "the test's runs are not the study's";
  for (const RunFigures& figures : read_figures(out("one") + "/lr-test"))
    EXPECT_FALSE(figures.last.contains("test.accuracy")) << "nothing is chosen on the test set";
  EXPECT_EQ(run_program("depth --lr auto --out " + out("t")).status, 2);
  EXPECT_EQ(run_program("compare_norms --groups 2,3 --out " + out("t")).status, 2);
}

/// A network too deep to train: nothing may be called its best rate, and its runs are marked for ever.
TEST_F(Sweeps, RatesAtChanceAreNoWinners) {
  const std::string what =
      "compare_norms --net plain:30 --width 0.25 --init torch --norms none --seeds 1 --limit-train 100 "
      "--limit-test 20 "
      "--epochs 1 --lr auto --out " +
      out("s");
  const ProgramResult result = run_program(what);
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* part : {"--lr auto: no rate learned with none", "more rates are tried", "5 short runs",
                           "takes 0.0005 (NO RATE LEARNED: the smallest) 0.0005 ", "0.0005*",
                           "no rate that --lr auto tried did better than guessing"})
    EXPECT_NE(result.output.find(part), std::string::npos) << part << result.output;
  const RunConfig config = RunConfig::read(out("s") + "/none-seed0/config.toml");
  EXPECT_EQ(config.text("lr_choice"), "auto, at chance");
  EXPECT_EQ(config.text("lr"), "0.0005");
  const ProgramResult again = run_program("compare_norms --resume " + out("s"));
  EXPECT_NE(again.output.find("takes 0.0005 (NO RATE LEARNED"), std::string::npos) << again.output;
}

TEST_F(Sweeps, FullSetsWhatIsNotTyped) {
  const std::string what =
      "compare_norms --limit-train 50 --limit-test 20 --norms none --batch-size 50 --diagnose 0 ";
  const ProgramResult small = run_program(what + "--seeds 1 --epochs 1 --out " + out("small"));
  EXPECT_EQ(small.output.find("--full"), std::string::npos) << "everything was typed";
  const ProgramResult half = run_program(what + "--epochs 1 --out " + out("half"));
  EXPECT_NE(half.output.find("--full: --seeds 5: 5 runs"), std::string::npos) << half.output;
  const ProgramResult full = run_program(what + "--epochs 1 --full --out " + out("full"));
  EXPECT_EQ(full.status, 0);
  EXPECT_EQ(read_figures(out("half")).size(), 3U) << "looking at --full changes nothing";
  EXPECT_EQ(read_figures(out("full")).size(), 5U);
  EXPECT_EQ(read_figures(out("full"))[0].run.config.text("epochs"), "1") << "what is typed wins";
  for (const char* program : {"compare_norms", "batch_size", "depth", "learning_rate"})
    EXPECT_NE(run_program(std::string(program) + " --help").output.find("--full"), std::string::npos);
}

}  // namespace
}  // namespace normlab
