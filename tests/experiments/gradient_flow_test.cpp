// What looks inside a network as programs: the rows that come out, figures that fit each other, training that
// stays the same to the bit, and one clear error for what can be wrong.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <utility>

#include "host/record/diagnostic_channels.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/run_config.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;

const std::string kSmall =
    " --limit-train 200 --limit-test 100 --epochs 2 --batch-size 33 --seeds 1 ";  // 7 steps an epoch

class GradientFlow : public ::testing::Test {
 protected:
  [[nodiscard]] std::string out(const std::string& name) const { return (directory_.path() / name).string(); }
  [[nodiscard]] std::string parameters(const std::string& study, const std::string& run) const {
    return test::read_text(fs::path(out(study)) / run / "final.safetensors");
  }
  [[nodiscard]] Log log(const std::string& study, const std::string& run) const {
    return read_log(fs::path(out(study)) / run / "metrics.nlog");
  }

  test::TemporaryDirectory directory_;
};

/// The rows of one channel, by step.
std::map<std::int64_t, std::vector<double>> rows_of(const Log& log, const std::string& channel) {
  std::map<std::int64_t, std::vector<double>> rows;
  const auto index = log.find(channel);
  EXPECT_TRUE(index.has_value()) << channel;
  for (const Row& row : log.rows) {
    if (!index || row.channel != *index) continue;
    const auto values = log.values_of(row);
    rows[row.step].assign(values.begin(), values.end());
  }
  return rows;
}

std::vector<std::int64_t> steps_of(const Log& log, const std::string& channel) {
  std::vector<std::int64_t> steps;
  for (const auto& [step, values] : rows_of(log, channel)) steps.push_back(step);
  return steps;
}

TEST_F(GradientFlow, TrainsTheSameHoweverMuchIsLookedAt) {
  const std::string norms =  // 7 steps an epoch
      " --limit-train 56 --limit-test 30 --epochs 2 --batch-size 8 --seeds 1 "
      "--norms none,bn,ln-elementwise,gn:4,in,rms --lr 0.05 --augment --clip 2 ";
  for (const std::string& command :
       {"compare_norms" + norms + "--diagnose 0 --out " + out("blind"),
        "compare_norms" + norms + "--diagnose-steps 1,2,9 --threads 3 --out " + out("looked"),
        "loss_landscape" + norms + "--every 3 --out " + out("landscape")}) {
    const ProgramResult result = run_program(command);
    ASSERT_EQ(result.status, 0) << result.output;
  }
  for (const char* run : {"none", "bn", "ln-elementwise", "gn4", "in", "rms"}) {
    const std::string name = fmt::format("{}-seed0", run);
    EXPECT_TRUE(parameters("blind", name) == parameters("looked", name)) << name;
    EXPECT_TRUE(parameters("blind", name) == parameters("landscape", name)) << name;
    EXPECT_FALSE(log("blind", name).find("layer.grad_norm")) << name;
    EXPECT_EQ(steps_of(log("looked", name), "layer.grad_norm"), (std::vector<std::int64_t>{1, 2, 7, 9, 14}));
    EXPECT_EQ(steps_of(log("looked", name), "layer.cosine"), (std::vector<std::int64_t>{0, 1, 2, 7, 9, 14}));
    EXPECT_EQ(steps_of(log("landscape", name), "landscape.beta"),
              (std::vector<std::int64_t>{1, 4, 7, 10, 13}));
    for (const char* split : {"step.loss", "test.loss"}) {
      EXPECT_EQ(rows_of(log("blind", name), split), rows_of(log("looked", name), split)) << name;
    }
  }
}

TEST_F(GradientFlow, TrainsTheSameInBf16AndInParts) {
  const std::string common = kSmall + "--norms none,bn,gn:4 --lr 0.05 ";
  for (const std::string how : {"--precision bf16 ", "--micro-batch 8 "}) {
    for (const std::string& command :
         {"compare_norms" + common + how + "--diagnose 0 --out " + out("blind" + how.substr(2, 5)),
          "loss_landscape" + common + how + "--every 2 --out " + out("seen" + how.substr(2, 5))}) {
      const ProgramResult result = run_program(command);
      if (result.status == 1 && result.output.find("AVX512-BF16") != std::string::npos)
        GTEST_SKIP() << result.output;
      ASSERT_EQ(result.status, 0) << result.output;
    }
    for (const char* run : {"none-seed0", "bn-seed0", "gn4-seed0"}) {
      const std::string blind = parameters("blind" + how.substr(2, 5), run);
      EXPECT_TRUE(blind == parameters("seen" + how.substr(2, 5), run)) << how << run;
    }
  }
}

TEST_F(GradientFlow, RecordsTheFirstStepsAndThenNowAndThen) {
  const ProgramResult result = run_program("gradient_flow --net plain:4 --norms none,bn --first 3 --every 5" +
                                           kSmall + "--out " + out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  const std::vector<std::int64_t> steps{1, 2, 3, 5, 7, 10, 14};
  for (const std::string run : {"none-seed0", "bn-seed0"}) {
    const Log found = log("s", run);
    EXPECT_EQ(steps_of(found, "layer.grad_norm"), steps) << run;
    const bool is_bn = run.starts_with("bn");
    const Channel& outputs = found.channels[*found.find("layer.output_grad_norm")];
    EXPECT_EQ(outputs.labels, is_bn ? (std::vector<std::string>{"b1.norm", "b2.norm", "b3.norm", "b4.norm"})
                                    : (std::vector<std::string>{"b1.relu", "b2.relu", "b3.relu", "b4.relu"}));
    EXPECT_EQ(found.find("after.b4").has_value(), is_bn);
    // ||g|| of all layers is that of the whole.
    const auto whole = rows_of(found, "step.grad_norm");
    for (const auto& [step, layers] : rows_of(found, "layer.grad_norm")) {
      double squares = 0;
      for (const double norm : layers) squares += norm * norm;
      EXPECT_NEAR(std::sqrt(squares), whole.at(step)[0], 1e-6 * whole.at(step)[0]) << run << step;
    }
    for (const auto& [step, row] : rows_of(found, "before.b1")) {
      double count = 0;
      for (std::size_t i = 2; i < row.size(); ++i) count += row[i];
      EXPECT_EQ(count, kHistogramImages * 32.0 * 32 * 32) << run << step;
    }
    for (const char* metric :
         {"activation_mean", "activation_variance", "output_grad_norm", "cosine", "stable_rank"}) {
      for (const auto& [step, row] : rows_of(found, fmt::format("layer.{}", metric))) {
        for (const double value : row) EXPECT_GT(value, 0) << run << metric << step;
      }
    }
  }
  EXPECT_EQ(RunConfig::read(fs::path(out("s")) / "bn-seed0" / "config.toml").text("diagnose_first"), "3");
}

/// A diverging run is looked at like any other.
TEST_F(GradientFlow, ADivergedRunIsAResult) {
  const ProgramResult result =
      run_program("gradient_flow --net plain:3 --norms none --lr 1e12 --schedule constant" + kSmall +
                  "--out " + out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(log("s", "none-seed0").outcome->status, RunStatus::diverged);
}

TEST_F(GradientFlow, WrongUsageGetsOneClearError) {
  const std::vector<std::pair<std::string, std::vector<const char*>>> wrong{
      {"compare_norms --diagnose=-1", {"--diagnose", "negative"}},
      {"compare_norms --diagnose often", {"--diagnose", "often"}},
      {"compare_norms --diagnose-steps 0,1", {"--diagnose-steps", "count from 1"}},
      {"compare_norms --diagnose-steps 1,one", {"--diagnose-steps", "'one'"}},
      {"compare_norms --diagnose-steps 5,5", {"--diagnose-steps", "twice"}},
      {"gradient_flow --every=-1", {"--every", "negative"}},
      {"gradient_flow --first=-1", {"--first", "negative"}},
      {"loss_landscape --every 0", {"--every", "at least 1"}}};
  for (const auto& [command, says] : wrong) {
    const ProgramResult result = run_program(command + " --out " + out("s"));
    EXPECT_EQ(result.status, 2) << result.output;
    for (const char* part : says) EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
    EXPECT_FALSE(fs::exists(out("s")));
  }
}

}  // namespace
}  // namespace normlab
