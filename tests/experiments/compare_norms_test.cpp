// The main experiment as a program: equal results for any number of threads and jobs, results that are never
// overwritten, and one clear error for everything that can be wrong.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "experiments/options/backends.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/run_results.hpp"
#include "host/record/safetensors.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/terminal.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_on_terminal;
using test::run_program;

const std::string kSmall =
    "compare_norms --limit-train 80 --limit-test 40 --epochs 2 --batch-size 17 --diagnose 0 ";

class CompareNorms : public ::testing::Test {
 protected:
  [[nodiscard]] std::string out(const std::string& name) const { return (directory_.path() / name).string(); }

  test::TemporaryDirectory directory_;
};

TEST_F(CompareNorms, EqualBitsForAnyThreadsAndJobsAndWhenRunTwice) {
  const std::string what = kSmall +
                           "--norms none,bn,ln-elementwise,gn:4 --seeds 1 "  // graph_test: all norms
                           "--augment --val 20 --diagnose-steps 5 ";
  const std::vector<std::pair<std::string, std::string>> ways{{"one", "--threads 1"},
                                                              {"again", "--threads 1"},
                                                              {"two", "--threads 2 --jobs 1"},
                                                              {"auto", "--threads 4 --jobs auto"},
                                                              {"three", "--threads 4 --jobs 3"},
                                                              {"seven", "--threads 7 --jobs 1"}};
  for (const auto& [name, threads] : ways) {
    const ProgramResult result = run_program(what + threads + " --out " + out(name));
    ASSERT_EQ(result.status, 0) << result.output;
  }
  int runs = 0;
  for (const auto& entry : fs::directory_iterator(out("one"))) {
    if (!entry.is_directory()) continue;  // the study's options
    const std::string run = entry.path().filename();
    const std::string parameters = test::read_text(entry.path() / "final.safetensors");
    ASSERT_GT(parameters.size(), 30000U * 4);
    const Log log = read_log(entry.path() / "metrics.nlog");
    ASSERT_GT(log.rows.size(), 30U);
    for (const auto& [name, threads] : ways) {
      EXPECT_TRUE(test::read_text(fs::path(out(name)) / run / "final.safetensors") == parameters)
          << run << threads;
      EXPECT_EQ(first_difference(read_log(fs::path(out(name)) / run / "metrics.nlog"), log), "")
          << run << threads;
    }
    ++runs;
  }
  EXPECT_EQ(runs, 4);
}

TEST_F(CompareNorms, RecordsHowTheRateWasChosenAndNamesTheRates) {
  const std::string what = kSmall + "--norms bn,ln --seeds 1 ";
  const ProgramResult built_in = run_program(what + "--out " + out("built-in"));
  ASSERT_EQ(built_in.status, 0) << built_in.output;
  EXPECT_EQ(RunConfig::read(out("built-in") + "/bn-seed0/config.toml").text("lr_choice"), "default");
  for (const char* part :
       {"\nbn     0.1 ", "\nln    0.02 ", "peak learning rate: the built-in default, found on held-out\n"})
    EXPECT_NE(built_in.output.find(part), std::string::npos) << part << built_in.output;
  const ProgramResult given = run_program(what + "--lr 0.05 --out " + out("given"));
  EXPECT_EQ(RunConfig::read(out("given") + "/bn-seed0/config.toml").text("lr_choice"), "given");
  EXPECT_NE(given.output.find("· lr 0.05 ·"), std::string::npos) << given.output;
  EXPECT_NE(given.output.find("peak learning rate: as given\n"), std::string::npos) << given.output;
}

TEST_F(CompareNorms, TrainsInBf16OrSaysWhyNot) {
  const std::string what = kSmall + "--precision bf16 --norms none,bn --seeds 1 ";
  // Without the instructions nothing may be written.
  setenv("NORMLAB_ISA", "avx2", 1);
  const ProgramResult refused = run_program(what + "--out " + out("refused"));
  unsetenv("NORMLAB_ISA");
  EXPECT_EQ(refused.status, 1) << refused.output;
  for (const char* part : {"--precision bf16", "AVX512-BF16", "AMX", "--precision fp32"}) {
    EXPECT_NE(refused.output.find(part), std::string::npos) << refused.output;
  }
  EXPECT_FALSE(fs::exists(out("refused")));

  const ProgramResult one = run_program(what + "--threads 1 --out " + out("one"));
  if (one.status == 1 && one.output.find("AVX512-BF16") != std::string::npos) GTEST_SKIP() << one.output;
  ASSERT_EQ(one.status, 0) << one.output;
  ASSERT_EQ(run_program(what + "--threads 2 --out " + out("two")).status, 0);
  for (const std::string run : {"none-seed0", "bn-seed0"}) {
    EXPECT_EQ(read_run(fs::path(out("one")) / run).config.text("precision"), "bf16");
    EXPECT_TRUE(test::read_text(fs::path(out("one")) / run / "final.safetensors") ==
                test::read_text(fs::path(out("two")) / run / "final.safetensors"));
  }
}

TEST_F(CompareNorms, RecordsWhatTheStudyPromises) {
  const ProgramResult result = run_program(kSmall + "--norms bn,gn:4 --seeds 3,5 --val 20 --out " + out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("4 runs"), std::string::npos) << result.output;
  const fs::path run = fs::path(out("s")) / "bn-seed5";
  const RunResults results = read_run(run);
  EXPECT_EQ(results.status, "done");
  EXPECT_EQ(results.norm, "bn");
  EXPECT_EQ(results.config.text("train_images"), "60");
  ASSERT_NE(results.last("val"), nullptr);
  ASSERT_NE(results.last("test"), nullptr);
  EXPECT_EQ(results.last("test")->epoch, 2);
  const Log log = read_log(run / "metrics.nlog");
  const std::vector<Prediction> predictions = log.last_predictions("test.predictions");
  ASSERT_EQ(predictions.size(), 40U);
  double correct = 0;
  for (const Prediction& p : predictions) correct += p.predicted == p.label ? 1 : 0;
  EXPECT_DOUBLE_EQ(correct / 40, results.last("test")->accuracy.value());
  EXPECT_EQ(step_results(log).size(), 2U * 4);
  const TensorFile file = read_safetensors(run / "final.safetensors");
  for (const char* name : {"c1.conv.weight", "c1.norm.weight", "c1.norm.bias", "c1.norm.running_mean",
                           "c1.norm.running_var", "c1.norm.num_batches_tracked", "c11.conv.bias"}) {
    EXPECT_NE(file.find(name), nullptr) << name;
  }
  EXPECT_EQ(file.find("c1.norm.num_batches_tracked")->integers(), std::vector<std::int64_t>{8});
  // Whoever evaluates them must know what the network's input is.
  const TensorFile checkpoint = read_safetensors(run / "checkpoint.safetensors");
  ASSERT_EQ(run_program("normlog csv " + out("s")).status, 0);
  const std::string table = test::read_text(out("s") + "/csv/runs.csv");
  for (const auto& [key, value] :
       {std::pair{"pixel_mean", "0.4914,0.4822,0.4465"}, {"pixel_std", "0.247,0.2435,0.2616"}}) {
    EXPECT_EQ(results.config.text(key), value);
    for (const TensorFile* of : {&file, &checkpoint}) {
      ASSERT_NE(of->metadata_of(key), nullptr) << key;
      EXPECT_EQ(*of->metadata_of(key), value);
    }
    EXPECT_HAS(table, fmt::format(",{},", key));
    EXPECT_HAS(table, fmt::format(",\"{}\",", value));
  }
}

TEST_F(CompareNorms, PlainLinesWhereThereIsNoTerminal) {
  const std::string what = kSmall + "--norms none,in --seeds 1 --threads 2 --out ";
  const std::vector<ProgramResult> results{
      run_program(what + out("pipe")), run_on_terminal("env NO_COLOR=1 ./" + what + out("no_color"), 80, 24),
      run_on_terminal("env TERM=dumb ./" + what + out("dumb"), 80, 24)};
  for (const ProgramResult& result : results) {
    EXPECT_EQ(result.status, 0) << result.output;
    for (const char* part : {"\nin-seed0 epoch 1/2: train loss", "\nin-seed0 epoch 2/2: train loss",
                             "\nnone-seed0 epoch 2/2: train loss", "\n[1/2] ", "\n[2/2] "}) {
      EXPECT_NE(result.output.find(part), std::string::npos) << part << result.output;
    }
    EXPECT_EQ(result.output.find('\033'), std::string::npos) << result.output;
  }
}

TEST_F(CompareNorms, OneScreenForAllRunsOnATerminal) {
  const ProgramResult result = run_on_terminal(
      "env -u NO_COLOR TERM=xterm ./compare_norms --limit-train 160 --limit-test 40 --epochs 3 --diagnose 0 "
      "--norms none,bn,ln,gn:4,in --seeds 1 --threads 3 --out " +
          out("s"),
      110, 12);
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("0 of 5 runs"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("\nln-seed0    epoch "), std::string::npos) << result.output;
  test::Terminal terminal(110, 12);
  terminal.feed(result.output);
  int ended = 0;
  for (const std::string& line : terminal.lines()) {
    EXPECT_EQ(line.find(" of 5 runs"), std::string::npos) << "of the screen nothing stays: " << line;
    EXPECT_EQ(line.find("epoch 1"), std::string::npos) << line;
    ended += line.starts_with(fmt::format("[{}/5] ", ended + 1)) ? 1 : 0;
  }
  EXPECT_EQ(ended, 5);
}

TEST_F(CompareNorms, AnInterruptLeavesACleanTerminal) {
  const ProgramResult result = run_on_terminal(
      "env -u NO_COLOR TERM=xterm ./compare_norms --epochs 500 --norms gn:4,in --seeds 1 --threads 2 --out " +
          out("s"),
      60, 10, "loss");
  EXPECT_EQ(result.status, 130) << result.output;
  test::Terminal terminal(60, 10);
  terminal.feed(result.output);
  std::vector<std::string> lines = terminal.lines();
  const auto first = std::find_if(lines.begin(), lines.end(),
                                  [](const std::string& line) { return line.starts_with("[1/2] "); });
  ASSERT_GE(lines.end() - first, 3) << result.output;
  EXPECT_TRUE(first[1].starts_with("[2/2] ")) << first[1];
  EXPECT_TRUE(first[2].starts_with("compare_norms: interrupted")) << first[2];
  for (const std::string& line : lines) EXPECT_EQ(line.find(" of 2 runs"), std::string::npos) << line;
}

TEST_F(CompareNorms, ADivergedRunIsAResult) {
  const ProgramResult result = run_program(
      kSmall + "--norms none,bn --lr 1,none=1e12 --schedule constant --seeds 1 --out " + out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(read_run(fs::path(out("s")) / "none-seed0").status, "diverged");
  EXPECT_EQ(read_run(fs::path(out("s")) / "bn-seed0").status, "done");
  EXPECT_NE(result.output.find("diverged"), std::string::npos) << result.output;
  // The step that it names is the last one done, and its epoch has no end.
  const RunResults run = read_run(fs::path(out("s")) / "none-seed0");
  EXPECT_HAS(run.status_message, fmt::format("diverged at step {}: the ", run.steps_done));
  EXPECT_HAS(result.output, run.status_message);
  EXPECT_GT(run.steps_done, 0);
  EXPECT_EQ(run.last("train"), nullptr);
}

/// Of a loss without bounds nobody reads thirty digits.
TEST_F(CompareNorms, AHugeLossIsShort) {
  const ProgramResult result = run_program(
      "compare_norms --norms none --lr 10 --schedule constant --seeds 1 --epochs 1 --limit-train 66 "
      "--batch-size 33 --limit-test 10 --out " +
      out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  const std::size_t at = result.output.find("train loss ");
  ASSERT_NE(at, std::string::npos) << result.output;
  const std::string loss = result.output.substr(at + 11, result.output.find(',', at) - at - 11);
  EXPECT_GT(std::stod(loss), 1e6);
  EXPECT_EQ(loss.size(), 9U) << loss;  // 7.436e+19
}

TEST_F(CompareNorms, AnInterruptKeepsWhatWasMeasured) {
  const std::string log = out("s") + "/gn4-seed0/metrics.nlog";  // there once training has begun
  const ProgramResult result =
      run_program("compare_norms --epochs 500 --norms gn:4 --seeds 1 --threads 1 --out " + out("s") +
                  " & pid=$!; while [ -e /proc/$pid/exe ] && [ ! -e " + log +
                  " ]; do sleep 0.1; done; sleep 1; kill -TERM $pid; wait $pid");
  EXPECT_EQ(result.status, 130) << result.output;
  const RunResults results = read_run(fs::path(out("s")) / "gn4-seed0");
  EXPECT_EQ(results.status, "interrupted");
  EXPECT_TRUE(results.problems.empty());
}

struct Wrong {
  const char* name;
  std::string arguments;
  int status;
  std::vector<const char*> says;  ///< the thing and the remedy
};

class WrongUsage : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongUsage, GetsOneClearError) {
  const test::TemporaryDirectory directory;
  const Wrong& wrong = GetParam();
  if (std::string(wrong.name) == "cuda" && why_no_cuda().empty()) GTEST_SKIP() << "there is a GPU here";
  const std::string out = (directory.path() / "out").string();
  const ProgramResult result = run_program("compare_norms --out " + out + " " + wrong.arguments);
  EXPECT_EQ(result.status, wrong.status) << result.output;
  for (const char* part : wrong.says) EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
  EXPECT_FALSE(fs::exists(out)) << "nothing may be left behind";
}

INSTANTIATE_TEST_SUITE_P(
    Options, WrongUsage,
    ::testing::Values(
        Wrong{"norm", "--norms batch", 2, {"'batch'", "gn:G"}},
        Wrong{"groups", "--norms gn:3", 2, {"gn:3", "16 channels", "divisor"}},
        Wrong{"batch", "--batch-size 0", 2, {"--batch-size", "at least 1"}},
        Wrong{"number", "--epochs ten", 2, {"--epochs", "ten"}},
        Wrong{"unknown", "--precison bf16", 2, {"--precison"}},
        Wrong{"precision", "--precision fp16", 2, {"'fp16'", "fp32", "bf16"}},
        Wrong{"device", "--device tpu", 2, {"'tpu'", "cpu"}},
        Wrong{"tf32", "--precision tf32", 1, {"--precision tf32: ", "--device cuda", "--precision fp32"}},
        Wrong{"conv", "--device cuda --conv direct", 1, {"--conv direct: ", "--device cpu", "--conv auto"}},
        Wrong{"bn", "--bn cudnn", 1, {"--bn cudnn: ", "--device cuda", "--bn own"}},
        Wrong{"bn_name", "--bn mine", 2, {"--bn: ", "own or cudnn"}},
        Wrong{"cuda", "--device cuda", 1, {"--device cuda: ", "; use --device cpu"}},
        Wrong{"schedule", "--schedule linear", 2, {"'linear'", "onecycle"}},
        Wrong{"no_jobs", "--jobs 0", 2, {"--jobs", "'0'", "auto", "at least 1"}},
        Wrong{"negative_jobs", "--jobs=-2", 2, {"--jobs", "'-2'", "auto"}},
        Wrong{"many_jobs", "--jobs many", 2, {"--jobs", "'many'", "auto"}},
        Wrong{"half_a_job", "--jobs 1.5", 2, {"--jobs", "'1.5'", "auto"}},
        Wrong{"lr", "--lr fast", 2, {"'fast'", "0.1"}}, Wrong{"lr_missing", "--lr bn=0.1", 2, {"none"}},
        Wrong{"net", "--net resnet", 2, {"'resnet'", "net_a"}},
        Wrong{"tiny_net", "--net plain:0", 2, {"plain:0", "plain:D"}},
        Wrong{"seeds", "--seeds x", 2, {"'x'", "4,7"}}, Wrong{"val", "--val 10000", 2, {"--val", "10000"}},
        Wrong{"data", "--data /nowhere/at/all", 1, {"/nowhere/at/all"}}),
    [](const auto& info) { return std::string(info.param.name); });

struct BadConfig {
  const char* name;
  const char* text;
  std::vector<const char*> says;
};

class ConfigFiles : public ::testing::TestWithParam<BadConfig> {};

TEST_P(ConfigFiles, ErrorsHaveLineAndColumn) {
  const test::TemporaryDirectory directory;
  const std::string config = (directory.path() / "study.toml").string();
  std::ofstream(config) << GetParam().text;
  const ProgramResult result = run_program("compare_norms --config " + config);
  EXPECT_EQ(result.status, 2) << result.output;
  for (const char* part : GetParam().says)
    EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
}

INSTANTIATE_TEST_SUITE_P(
    Wrong, ConfigFiles,
    ::testing::Values(
        BadConfig{"unknown_key", "epochs = 2\nepoch = 3\n", {"study.toml:2:", "'epoch'", "epochs"}},
        BadConfig{"wrong_type", "epochs = \"two\"\n", {"study.toml:1:10", "whole number"}},
        BadConfig{"fraction", "epochs = 2.5\n", {"study.toml:1:10", "whole number"}},
        BadConfig{"whole_fraction", "epochs = 2.0\n", {"study.toml:1:10", "whole number"}},
        BadConfig{"seeds", "seeds = 3.0\n", {"--seeds: '3.0' is no seed", "how many (3)"}},
        BadConfig{"list_of_seeds", "seeds = [4.0, 7]\n", {"--seeds: '4.0' is no seed", "which (4,7)"}},
        BadConfig{"groups", "groups = [4.0]\n", {"--groups: '4.0' is no whole number"}},
        BadConfig{"diagnose_steps", "diagnose-steps = 10.0\n", {"--diagnose-steps: '10.0' is no"}},
        BadConfig{"jobs", "jobs = 2.0\n", {"--jobs: '2.0' must be auto"}},
        BadConfig{"flag", "\n\naugment = 1\n", {"study.toml:3:11", "true or false"}},
        BadConfig{"syntax", "epochs = = 2\n", {"study.toml:1:"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(CompareNorms, AConfigFileSetsOptionsAndTheCommandLineWins) {
  const std::string config = out("study.toml");
  std::ofstream(config)
      << "norms = [\"gn:4\"]\nepochs = 3\nlr = 0.05\naugment = true\nseeds = 1\nprecision = \"fp32\"\n";
  const ProgramResult result = run_program(kSmall + "--config " + config + " --out " + out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  const RunConfig run = RunConfig::read(fs::path(out("s")) / "gn4-seed0" / "config.toml");
  EXPECT_EQ(run.text("epochs"), "2");
  EXPECT_EQ(run.text("lr"), "0.05");
  EXPECT_EQ(run.text("augment"), "true");
  EXPECT_EQ(run.text("precision"), "fp32");
}

TEST_F(CompareNorms, AConfigFileSetsJobsToAutoOrANumber) {
  const std::string config = out("study.toml");
  const std::string what = kSmall + "--norms none,in --seeds 1 --threads 2 --config " + config;
  for (const auto& [jobs, says] :
       {std::pair{"\"auto\"", "2 runs side by side"}, {"1", "one run at a time"}}) {
    std::ofstream(config) << "jobs = " << jobs << "\n";
    const ProgramResult result =
        run_program(what + " --out " + out("s" + std::string(jobs == std::string("1") ? "1" : "")));
    EXPECT_EQ(result.status, 0) << result.output;
    EXPECT_NE(result.output.find(says), std::string::npos) << jobs << result.output;
  }
}

TEST_F(CompareNorms, NeverOverwrites) {
  fs::create_directory(out("s"));
  std::ofstream(out("s") + "/precious") << "data";
  const ProgramResult result = run_program(kSmall + "--out " + out("s"));
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find(out("s")), std::string::npos) << result.output;
  EXPECT_EQ(test::read_text(out("s") + "/precious"), "data");
}

TEST_F(CompareNorms, AnUnwritablePlaceIsNamed) {
  const ProgramResult result = run_program(kSmall + "--out /proc/normlab");
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find("/proc/normlab"), std::string::npos) << result.output;
}

TEST_F(CompareNorms, AFullDiskStopsWithAClearErrorAndLosesNothing) {
  const std::string disk = out("disk");
  fs::create_directory(disk);
  if (std::system(("mount -t tmpfs -o size=256k none " + disk + " 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "mounting a small tmpfs needs root";
  }
  // Large enough for one run's log, too small for its parameters or for the second run.
  const ProgramResult result = run_program(
      "compare_norms --limit-train 80 --limit-test 40 --epochs 2 --batch-size 17 --norms bn,in "
      "--seeds 1 --threads 1 --out " +
      disk + "/s");
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find("space"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find(disk), std::string::npos) << result.output;
  const Log log = read_log(fs::path(disk) / "s" / "bn-seed0" / "metrics.nlog");
  EXPECT_GT(log.rows.size(), 10U);
  EXPECT_EQ(std::system(("umount " + disk).c_str()), 0);
}

TEST_F(CompareNorms, HelpTeaches) {
  const ProgramResult result = run_program("compare_norms --help");
  EXPECT_EQ(result.status, 0);
  for (const char* part : {"--norms", "--data", "--seeds", "--precision", "synthetic", "none=0.02"}) {
    EXPECT_NE(result.output.find(part), std::string::npos) << part;
  }
  // Whatever stands beside it.
  const ProgramResult beside = run_program("compare_norms --norms batch --help");
  EXPECT_EQ(beside.status, 0);
  EXPECT_EQ(beside.output, result.output);
}

}  // namespace
}  // namespace normlab
