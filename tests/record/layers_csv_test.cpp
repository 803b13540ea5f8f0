// What is seen inside a network as lines of layers.csv and histograms.csv, and how much memory and time a
// large study takes.

#include "host/record/layers_csv.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <sstream>

#include "host/record/csv.hpp"
#include "host/record/diagnostic_channels.hpp"
#include "host/record/run_name.hpp"
#include "host/record/run_results.hpp"
#include "tests/record/sample_study.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::read_text;

std::filesystem::path write_log(const StudyDirectory& study, const std::string& norm, int seed,
                                const std::vector<Channel>& channels,
                                const std::function<void(LogWriter&)>& write) {
  const RunDirectory run =
      study.create_run(run_name(arm_name(norm, {}, {}), static_cast<std::uint64_t>(seed)));
  RunConfig config;
  config.set("norm", norm);
  config.set("seed", seed);
  run.write_config(config);
  LogWriter log(run.metrics(), channels);
  write(log);
  log.close(RunStatus::done);
  return run.path();
}

TEST(LayersCsv, VectorsHistogramsAndFiguresOfTheNetwork) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  const Channel histogram{"before.c1,2", ChannelKind::histogram, "", {4}, {}};
  const std::vector<Channel> channels{
      layer_channel("cosine", {"c1.norm", "c2, again.conv", "s1.b1.c2.relu", "fc"}),
      histogram,
      {"landscape.beta", ChannelKind::scalar, "", {}, {}},
      {"reestimated.loss", ChannelKind::scalar, "nat", {}, {}},
      {"step.loss", ChannelKind::scalar, "nat", {}, {}},
      {"other.vector", ChannelKind::vector, "", {1}, {}}};
  const auto run = write_log(study, "gn:4", 3, channels, [](LogWriter& log) {
    log.append(log.channel("layer.cosine"), 0, 0, std::vector<double>{0.5, std::nan(""), 1, 2});
    log.append(log.channel("before.c1,2"), 1, 7, std::vector<float>{-0.25F, 1.5F, 3, 12345});
    log.append(log.channel("landscape.beta"), 1, 7, 1.0 / 3);
    log.append(log.channel("step.loss"), 1, 7, 2.0);
    log.append(log.channel("other.vector"), 1, 7, std::vector<double>{1});
    log.append(log.channel("reestimated.loss"), 2, 9, 0.125);
  });
  export_csv(find_runs({{run}}), directory / "csv");
  EXPECT_EQ(read_text(directory / "csv/layers.csv"),
            "run,norm,seed,epoch,step,layer,block,metric,value\n"
            "gn4-seed3,gn:4,3,0,0,c1.norm,c1,cosine,0.5\n"
            "gn4-seed3,gn:4,3,0,0,\"c2, again.conv\",\"c2, again\",cosine,nan\n"
            "gn4-seed3,gn:4,3,0,0,s1.b1.c2.relu,s1.b1.c2,cosine,1\n"
            "gn4-seed3,gn:4,3,0,0,fc,fc,cosine,2\n"
            "gn4-seed3,gn:4,3,1,7,,,landscape.beta,0.333333333\n"
            "gn4-seed3,gn:4,3,2,9,,,reestimated.loss,0.125\n");
  EXPECT_EQ(read_text(directory / "csv/histograms.csv"),
            "run,norm,seed,epoch,step,block,place,bin,low,high,count\n"
            "gn4-seed3,gn:4,3,1,7,\"c1,2\",before,0,-0.25,0.625,3\n"
            "gn4-seed3,gn:4,3,1,7,\"c1,2\",before,1,0.625,1.5,12345\n");
}

TEST(LayersCsv, IsThereOnlyForWhatWasSeenInside) {
  Log log;
  log.channels = {{"step.loss", ChannelKind::scalar, "", {}, {}}, {"law", ChannelKind::scalar, "", {}, {}}};
  EXPECT_FALSE(has_layer_channels(log));
  EXPECT_FALSE(has_histograms(log));
  log.channels.push_back(histogram_channel(kAfterPrefix, "c1"));
  EXPECT_FALSE(has_layer_channels(log));
  EXPECT_TRUE(has_histograms(log));
  log.channels.push_back({"law.growth", ChannelKind::scalar, "", {}, {}});
  EXPECT_TRUE(has_layer_channels(log));
}

/// The edges of the bins are those of all values, which are all finite.
TEST(LayersCsv, ABinEndsWhereTheNextBegins) {
  Log log;
  log.channels = {histogram_channel(kBeforePrefix, "c1")};
  log.values.assign(2 + kHistogramBins, 1);
  log.values[0] = -0.1;
  log.values[1] = 0.3;
  log.rows = {{0, 1, 5, 0, log.values.size()}};
  std::string text;
  append_histogram_lines(text, "r,n,0", log, log.rows[0]);
  std::istringstream lines(text);
  std::string line, high = "-0.1";
  for (int bin = 0; bin < kHistogramBins; ++bin) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_TRUE(line.starts_with(fmt::format("r,n,0,1,5,c1,before,{},{},", bin, high))) << line;
    EXPECT_TRUE(line.ends_with(",1")) << line;
    const std::size_t at = line.rfind(',', line.size() - 3);
    high = line.substr(at + 1, line.size() - 3 - at);
  }
  EXPECT_EQ(high, "0.3");
  EXPECT_FALSE(std::getline(lines, line));
}

/// 5 norms x 10 seeds x 100 epochs x 12 layers with all that a diagnosis of every epoch records: line by
/// line, never all at once.
TEST(LayersCsv, ALargeStudyTakesLittleMemory) {
#ifdef NORMLAB_SANITIZED
  GTEST_SKIP() << "sanitizers take memory and time of their own";
#endif
  constexpr int kSeeds = 10, kEpochs = 100, kLayers = 12;
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  std::vector<std::string> layers;
  for (int i = 1; i <= kLayers; ++i) layers.push_back(fmt::format("c{}.norm", i));
  std::vector<Channel> channels;
  for (const char* metric :
       {"grad_norm", "weight_norm", "update_ratio", "activation_mean", "activation_variance", "dead_fraction",
        "output_grad_norm", "cosine", "stable_rank"}) {
    channels.push_back(layer_channel(metric, layers));
  }
  for (const std::string_view side : {kBeforePrefix, kAfterPrefix}) {
    for (int i = 1; i <= kLayers; ++i) channels.push_back(histogram_channel(side, fmt::format("c{}", i)));
  }
  for (const char* norm : {"none", "bn", "ln", "gn:4", "in"}) {
    for (int seed = 0; seed < kSeeds; ++seed) {
      write_log(study, norm, seed, channels, [&](LogWriter& log) {
        for (int epoch = 0; epoch <= kEpochs; ++epoch) {
          for (std::uint32_t c = 0; c < channels.size(); ++c) {
            const auto size = static_cast<std::size_t>(channels[c].shape[0]);
            log.append(c, epoch, epoch * 391, std::vector<double>(size, 1.0 / (epoch + 3)));
          }
        }
      });
    }
  }
  const auto start = std::chrono::steady_clock::now();
  export_csv(find_runs({{study.path()}}), directory / "csv");
  RecordProperty(
      "seconds",
      fmt::format("{:.1f}", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()));
  const auto bytes = std::filesystem::file_size(directory / "csv/histograms.csv");
  EXPECT_GT(bytes, 300'000'000U);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss / 1024, 100) << "MB, for " << bytes / 1'000'000 << " MB of text";
}

}  // namespace
}  // namespace normlab
