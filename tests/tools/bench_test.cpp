// What bench prints: tables that say what they compare, CSV that programs can read, and clear errors. How
// fast anything is, no test asks.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::ProgramResult;
using test::run_program;

const std::string kQuick = "bench --rounds 1 --seconds 0.01 --width 0.25 ";

using Row = std::map<std::string, std::string>;

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> parts;
  std::istringstream text(line);
  for (std::string part; std::getline(text, part, ',');) parts.push_back(part);
  return parts;
}

std::vector<Row> read_csv(const std::string& output) {
  std::istringstream text(output);
  std::string line;
  std::getline(text, line);
  const std::vector<std::string> names = fields(line);
  std::vector<Row> rows;
  while (std::getline(text, line)) {
    const std::vector<std::string> values = fields(line);
    EXPECT_EQ(values.size(), names.size()) << line;
    Row row;
    for (std::size_t i = 0; i < std::min(names.size(), values.size()); ++i) row[names[i]] = values[i];
    rows.push_back(row);
  }
  return rows;
}

TEST(Bench, PrintsATable) {
  const ProgramResult result = run_program(kQuick + "--norms none,gn:2 --batch-size 4 --threads 1");
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* part : {"net_a, batch 4, 1 thread", "FMA peak", "main memory", "% of peak", "gn:2"})
    EXPECT_HAS(result.output, part);
  for (const char* part : {"vs batch", "vs 1 thread"})
    EXPECT_EQ(result.output.find(part), std::string::npos) << result.output;
}

TEST(Bench, ComparesBatchSizesAndThreads) {
  const ProgramResult result = run_program(kQuick + "--norms in --batch-size 4,2 --threads 2,1");
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* part :
       {"batch 4 and 2", "vs batch 4", "vs 1 thread", "% of peak's", "2 threads: FMA peak"})
    EXPECT_HAS(result.output, part);
}

TEST(Bench, CsvHasARowForEachCell) {
  const ProgramResult result =
      run_program(kQuick + "--csv --norms none,bn --batch-size 2,128,4 --threads 1,2");
  ASSERT_EQ(result.status, 0) << result.output;
  const std::vector<Row> rows = read_csv(result.output);
  std::set<std::string> cells;
  for (const Row& row : rows) {
    cells.insert(row.at("norm") + " " + row.at("batch_size") + " " + row.at("threads"));
    for (const char* column : {"images_per_second", "gflops", "fma_peak_gflops", "percent_of_peak",
                               "evaluated_per_second", "megabytes", "cache_gigabytes_per_second",
                               "memory_gigabytes_per_second", "batch_ratio", "speed_up"}) {
      EXPECT_GT(std::stod(row.at(column)), 0) << column;
    }
    if (row.at("batch_size") == "128") {
      EXPECT_EQ(row.at("batch_ratio"), "1");
    }
    if (row.at("threads") == "1") {
      EXPECT_EQ(row.at("speed_up"), "1");
    }
  }
  EXPECT_EQ(rows.size(), 12U);
  EXPECT_EQ(cells.size(), 12U);
}

TEST(Bench, LayersAddUpToTheStep) {
  const ProgramResult result =
      run_program(kQuick + "--csv --layers --norms none,bn --batch-size 8 --threads 2");
  ASSERT_EQ(result.status, 0) << result.output;
  std::map<std::string, double> percent;
  std::map<std::string, std::set<std::string>> phases;
  for (const Row& row : read_csv(result.output)) {
    percent[row.at("norm")] += std::stod(row.at("percent_of_step"));
    phases[row.at("norm") + " " + row.at("layer")].insert(row.at("phase"));
    const bool passes = row.at("phase") != "prepare" && row.at("phase") != "reduce";
    if (row.at("kind") == "conv2d") {
      EXPECT_EQ(std::stod(row.at("gflops")) > 0, passes) << row.at("layer") << " " << row.at("phase");
    }
    if (row.at("kind") == "batch_norm") {
      EXPECT_EQ(std::stod(row.at("gigabytes_per_second")) > 0, passes)
          << row.at("layer") << " " << row.at("phase");
    }
  }
  EXPECT_NEAR(percent.at("none"), 100, 1e-4);
  EXPECT_NEAR(percent.at("bn"), 100, 1e-4);
  for (const char* phase : {"data", "reduce", "optimizer", "wait"})
    EXPECT_TRUE(phases.at("bn step").contains(phase)) << phase;
  for (const char* phase : {"forward", "backward_data", "backward_weights"})
    EXPECT_TRUE(phases.at("bn c2.conv").contains(phase)) << phase;
  for (const char* phase : {"norm_forward", "norm_backward"})
    EXPECT_TRUE(phases.at("bn c2.norm").contains(phase)) << phase;
}

TEST(Bench, LayersAreTablesToo) {
  const ProgramResult result = run_program(kQuick + "--layers --norms bn --batch-size 4 --threads 1");
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* part : {"bn, batch 4, 1 thread", "c10.conv", "batch_norm", "GFLOP/s", "GB/s",
                           "backward weights", "optimizer", "wait"})
    EXPECT_HAS(result.output, part);
}

TEST(Bench, SummaryMeasuresNothing) {
  const ProgramResult result = run_program("bench --summary --norms gn:4");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_HAS(result.output, "multiply-adds");
  EXPECT_EQ(result.output.find("FMA"), std::string::npos);
}

/// Whoever has a --net takes all networks, and says so.
TEST(Bench, EveryProgramWithANetNamesThemAll) {
  int programs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::bin_dir())) {
    if (!entry.is_regular_file()) continue;
    const std::string help = run_program(entry.path().filename().string() + " --help").output;
    const std::size_t at = help.find("--net TEXT");
    if (at == std::string::npos) continue;
    const std::string text = help.substr(at, help.find("--width", at) - at);
    for (const char* net : {"net_a", "plain:D", "resnet:D"}) EXPECT_HAS(text, net) << entry.path();
    ++programs;
  }
  EXPECT_GE(programs, 6);  // bench and the experiments, but depth and init_laws
}

TEST(Bench, AConfigFileSetsOptions) {
  const test::TemporaryDirectory directory;
  const std::string config = directory / "bench.toml";
  test::write_text(config, "norms = \"rms\"\nbatch-size = [2, 4]\nthreads = 1\n");
  const ProgramResult result = run_program(kQuick + "--csv --config " + config);
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(read_csv(result.output).size(), 2U) << result.output;
}

struct Wrong {
  const char* name;
  std::string arguments;
  std::vector<const char*> says;  ///< the thing and the remedy
};

class BenchUsage : public ::testing::TestWithParam<Wrong> {};

TEST_P(BenchUsage, GetsOneClearError) {
  const ProgramResult result = run_program("bench " + GetParam().arguments);
  EXPECT_EQ(result.status, 2) << result.output;
  for (const char* part : GetParam().says) EXPECT_HAS(result.output, part);
}

INSTANTIATE_TEST_SUITE_P(
    Options, BenchUsage,
    ::testing::Values(Wrong{"norm", "--norms batch", {"'batch'", "gn:G"}},
                      Wrong{"groups", "--norms gn:3", {"gn:3", "16 channels"}},
                      Wrong{"batch_word", "--batch-size 16,big", {"--batch-size", "'big'", "whole number"}},
                      Wrong{"batch_zero", "--batch-size 16,0", {"--batch-size", "at least 1", "0"}},
                      Wrong{"batch_twice", "--batch-size 16,16", {"--batch-size", "16", "twice"}},
                      Wrong{"batch_comma", "--batch-size 16,,", {"--batch-size", "''"}},
                      Wrong{"threads", "--threads 1,-2", {"--threads", "at least 1", "-2"}},
                      Wrong{"many_threads", "--threads 5000", {"--threads", "1024"}},
                      Wrong{"rounds", "--rounds 0", {"--rounds"}},
                      Wrong{"seconds", "--seconds -1", {"--seconds"}},
                      Wrong{"bn", "--bn mine", {"--bn", "own or cudnn"}},
                      Wrong{"conv", "--conv winograd", {"--conv", "auto or direct"}},
                      Wrong{"net", "--net resnet", {"'resnet'", "net_a"}},
                      Wrong{"unknown", "--speed", {"--speed"}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace normlab
