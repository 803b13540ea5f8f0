// The laws at initialization, and the program that shows them. A wrong backward pass cannot hit the growth of
// the gradient with batch norm, sqrt(pi / (pi - 1)) = 1.2112 a layer (Yang et al., "A mean field theory of
// batch normalization", 2019), nor the figures that another program measured with other norms.

#include <cmath>
#include <filesystem>
#include <numbers>

#include "experiments/measure/laws.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/run_config.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::run_program;

#ifdef NORMLAB_SANITIZED
#define AT_SPEED_ONLY() \
  GTEST_SKIP() << "figures of many networks, which a sanitizer makes slow and not better"
#else
#define AT_SPEED_ONLY() static_cast<void>(0)
#endif

Laws mean_laws(const std::string& norm, bool circular, int seeds) {
  Laws mean;
  for (int seed = 0; seed < seeds; ++seed) {
    const auto backend = test::make_test_backend("cpu_blocked", 2);
    LawNetwork network;
    network.norm = Norm::parse(norm);
    network.circular = circular;
    const Laws laws = measure_laws(*backend, network, static_cast<std::uint64_t>(seed));
    mean.growth += laws.growth / seeds;
    mean.cosine += laws.cosine / seeds;
    mean.stable_rank += laws.stable_rank / seeds;
  }
  return mean;
}

TEST(InitLaws, BatchNorm) {
  AT_SPEED_ONLY();
  const Laws laws = mean_laws("bn", true, 5);
  const double theory = std::sqrt(std::numbers::pi / (std::numbers::pi - 1));
  EXPECT_NEAR(laws.growth, theory, 0.01 * theory);
  // Known figures: within 6 standard errors plus half a unit of the last digit.
  EXPECT_NEAR(laws.growth, 1.210, 6 * 0.0007 + 0.0005);
  EXPECT_NEAR(laws.cosine, 0.32, 6 * 0.0005 + 0.005);
  EXPECT_NEAR(laws.stable_rank, 3.06, 6 * 0.004 + 0.005);
  RecordProperty("growth", fmt::format("{:.4f}", laws.growth));
}

/// The others whose figures vary little.
TEST(InitLaws, InstanceAndGroupNorm) {
  AT_SPEED_ONLY();
  const Laws in = mean_laws("in", true, 3);
  EXPECT_NEAR(in.growth, 1.222, 6 * 0.0005 + 0.0005);
  EXPECT_NEAR(in.cosine, 0.32, 6 * 0.0003 + 0.005);
  EXPECT_NEAR(in.stable_rank, 3.02, 6 * 0.002 + 0.005);
  EXPECT_NEAR(mean_laws("gn:32", false, 3).growth, 1.157, 6 * 0.0007 + 0.0005);
}

TEST(InitLaws, TooFewBlocksAreRefused) {
  const auto backend = test::make_test_backend("cpu_blocked", 1);
  LawNetwork network;
  network.depth = 24;
  EXPECT_THROW(static_cast<void>(measure_laws(*backend, network, 0)), Error);
}

TEST(InitLawsProgram, WritesWhatItPrints) {
  const test::TemporaryDirectory directory;
  const auto out = directory.path() / "study";
  const auto result = run_program("init_laws --norms bn,gn:8 --seeds 2 --out " + out.string());
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("8 networks"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("1.2112"), std::string::npos) << result.output;
  const Log log = read_log(out / "bn-circular-seed1" / "metrics.nlog");
  ASSERT_TRUE(log.outcome);
  EXPECT_EQ(log.outcome->status, RunStatus::done);
  const auto row_of = [&](const char* name) -> const Row* {
    const auto channel = log.find(name);
    for (const Row& row : log.rows) {
      if (channel && row.channel == *channel) return &row;
    }
    return nullptr;
  };
  const Row* growth = row_of("law.growth");
  const Row* norms = row_of("layer.convolution_grad_norm");
  ASSERT_NE(growth, nullptr);
  ASSERT_NE(norms, nullptr);
  ASSERT_EQ(norms->count, 30U);
  const auto g = log.values_of(*norms);
  EXPECT_NEAR(log.values_of(*growth)[0], std::pow(g[2] / g[24], 1.0 / 22), 1e-6);
  EXPECT_EQ(RunConfig::read(out / "bn-circular-seed1" / "config.toml").text("swept"), "padding");
  EXPECT_EQ(RunConfig::read(out / "gn8-zero-seed0" / "config.toml").text("padding"), "zero");
  const auto summary = run_program("normlog summary " + out.string());
  ASSERT_EQ(summary.status, 0) << summary.output;
  EXPECT_NE(summary.output.find("bn-circular       2"), std::string::npos) << summary.output;
  EXPECT_NE(summary.output.find("gradient growth per layer"), std::string::npos);
  EXPECT_NE(summary.output.find(" ± 0.00"), std::string::npos);
}

TEST(InitLawsProgram, GoesOnWhereItStopped) {
  const test::TemporaryDirectory directory;
  const std::string out = (directory / "study").string();
  const std::string options = " --norms bn,in --padding circular --seeds 2";
  const auto whole = run_program("init_laws" + options + " --out " + out);
  ASSERT_EQ(whole.status, 0) << whole.output;
  const std::string table = whole.output.substr(whole.output.find("\npadding"));
  // One network is missing, one was cut short.
  std::filesystem::remove_all(directory / "study" / "bn-seed1");
  std::filesystem::remove(directory / "study" / "in-seed0" / "metrics.nlog");
  const auto before = std::filesystem::last_write_time(directory / "study" / "bn-seed0" / "metrics.nlog");
  const auto resumed = run_program("init_laws --resume " + out);
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "2 networks are measured already, 2 are to do");
  EXPECT_EQ(resumed.output.substr(resumed.output.find("\npadding")), table);
  EXPECT_EQ(std::filesystem::last_write_time(directory / "study" / "bn-seed0" / "metrics.nlog"), before);
  EXPECT_TRUE(std::filesystem::exists(directory / "study" / "in-seed0.unfinished-1"));
  const auto other = run_program("init_laws --padding zero --resume " + out);
  EXPECT_EQ(other.status, 2) << other.output;
  EXPECT_HAS(other.output, "made with --padding circular");
  EXPECT_EQ(run_program("init_laws --resume " + directory.path().string()).status, 2);
}

TEST(InitLawsProgram, RefusesWhatMakesNoSense) {
  for (const char* options :
       {"--padding round", "--padding zero,zero", "--norms gn:3", "--seeds x", "--epochs 3"}) {
    EXPECT_EQ(run_program(std::string("init_laws ") + options).status, 2) << options;
  }
}

}  // namespace
}  // namespace normlab
