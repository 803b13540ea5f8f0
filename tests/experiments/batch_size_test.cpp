// Large batches in parts, batch statistics, and the sweep over batch sizes.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "experiments/measure/batch_statistics.hpp"
#include "experiments/study/sweep_table.hpp"
#include "host/cpu/host_backend.hpp"
#include "layers/initialize.hpp"
#include "layers/networks.hpp"
#include "layers/philox.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;

constexpr int kSamples = 20;

/// A small network, images and labels.
struct Subject {
  Subject(const char* norm, int batch) : graph(backend, {1, 3, 16, 16}) {
    build_network(graph, {"plain:4", Norm::parse(norm), 0.5});
    graph.setup({.batch = batch, .evaluation_batch = kSamples});
    initialize(graph, Initialization::he, 3);
    Philox random(8, Purpose::probe);
    for (int i = 0; i < kSamples * 3 * 16 * 16; ++i)
      values.push_back(static_cast<float>(random.normal() + 0.1 * (i / (3 * 16 * 16))));
    for (int i = 0; i < kSamples; ++i) labels.push_back(static_cast<std::int32_t>(random.below(10)));
  }
  Batch part(int first, int count) const {
    Batch batch;
    batch.count = count;
    batch.values = values.data() + first * 3 * 16 * 16;
    batch.labels = labels.data() + first;
    return batch;
  }
  /// The gradient of all samples in parts of `size`.
  std::vector<float> gradient(int size) {
    for (int first = 0; first < kSamples; first += size) {
      Batch batch = part(first, std::min(size, kSamples - first));
      batch.whole = kSamples;
      batch.first_part = first;
      loss += graph.forward_backward(batch).loss_sum;
    }
    return {graph.gradients(), graph.gradients() + graph.parameter_count()};
  }

  HostBackend backend{2};
  Graph graph;
  std::vector<float> values;
  std::vector<std::int32_t> labels;
  double loss = 0;
};

double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

TEST(MicroBatch, GradientsAddUpToThatOfTheWholeUnlessSamplesAreCoupled) {
  for (const char* norm : {"none", "ln", "gn:4", "in", "rms", "ln-elementwise", "rms-elementwise"}) {
    Subject whole(norm, kSamples);
    const std::vector<float> expected = whole.gradient(kSamples);
    for (const int size : {1, 3, 8, 19}) {
      Subject parts(norm, size);
      EXPECT_LT(relative_distance(parts.gradient(size), expected), 2e-6) << norm << " in parts of " << size;
      EXPECT_NEAR(parts.loss, whole.loss, 1e-5 * whole.loss) << norm;
      EXPECT_LE(parts.graph.memory_bytes(), whole.graph.memory_bytes()) << norm;
      // The next batch begins anew.
      EXPECT_LT(relative_distance(parts.gradient(size), expected), 2e-6) << norm << ", again";
    }
  }
  Subject whole("bn", kSamples), parts("bn", 4);
  EXPECT_GT(relative_distance(parts.gradient(4), whole.gradient(kSamples)), 0.05);
  EXPECT_LT(parts.graph.memory_bytes(), whole.graph.memory_bytes());
}

TEST(MicroBatch, PartsOutOfOrderAreRefused) {
  Subject subject("gn:4", kSamples);
  Batch batch = subject.part(0, 15);
  batch.whole = kSamples;
  subject.graph.forward_backward(batch);
  batch = subject.part(10, 10);
  batch.whole = kSamples;
  batch.first_part = 15;
  EXPECT_THROW(subject.graph.forward_backward(batch), Error);
}

TEST(Forward, IsTheForwardHalfOfATrainingPass) {
  for (const char* norm : {"none", "bn", "gn:4"}) {
    Subject one(norm, kSamples), two(norm, kSamples);
    two.gradient(kSamples);
    std::fill_n(one.graph.gradients(), one.graph.parameter_count(), 7.0F);
    const PassResult pass = one.graph.forward(one.part(0, kSamples));
    EXPECT_EQ(pass.loss_sum, two.loss) << norm;
    EXPECT_EQ(running_statistics(one.graph), running_statistics(two.graph)) << norm;
    for (std::size_t i = 0; i < one.graph.parameter_count(); ++i) ASSERT_EQ(one.graph.gradients()[i], 7.0F);
  }
}

TEST(BatchStatistics, AreAveragedExactly) {
  constexpr int kBatch = 5;
  Subject subject("bn", kBatch);
  const std::vector<float> found = average_statistics(
      subject.graph, kSamples / kBatch, [&](int i) { return subject.part(i * kBatch, kBatch); });
  // Independently: the input of the first norm is the first convolution's output, in double.
  const Graph& graph = subject.graph;
  const Parameter& weight = *graph.parameters()[0];
  ASSERT_EQ(weight.name, "b1.conv.weight");
  const auto weights = std::span(subject.graph.values() + weight.offset, weight.count);
  const int channels = weight.dims[0];
  const auto x = [&](int n, int c, int h, int w) {
    return h < 0 || w < 0 || h >= 16 || w >= 16
               ? 0.0
               : static_cast<double>(
                     subject.values[static_cast<std::size_t>(((n * 3 + c) * 16 + h) * 16 + w)]);
  };
  for (int k = 0; k < channels; ++k) {
    double mean_of_means = 0, mean_of_variances = 0;
    for (int first = 0; first < kSamples; first += kBatch) {
      std::vector<double> y;
      for (int n = first; n < first + kBatch; ++n)
        for (int h = 0; h < 16; ++h)
          for (int w = 0; w < 16; ++w) {
            double sum = 0;
            for (int i = 0; i < 27; ++i)
              sum += static_cast<double>(weights[static_cast<std::size_t>(k * 27 + i)]) *
                     x(n, i / 9, h + i / 3 % 3 - 1, w + i % 3 - 1);
            y.push_back(sum);
          }
      double mean = 0, variance = 0;
      for (const double value : y) mean += value / static_cast<double>(y.size());
      for (const double value : y)
        variance += (value - mean) * (value - mean) / (static_cast<double>(y.size()) - 1);
      mean_of_means += mean * kBatch / kSamples;
      mean_of_variances += variance * kBatch / kSamples;
    }
    EXPECT_NEAR(found[static_cast<std::size_t>(k)], mean_of_means, 1e-4 * std::sqrt(mean_of_variances)) << k;
    EXPECT_NEAR(found[static_cast<std::size_t>(channels + k)], mean_of_variances, 1e-4 * mean_of_variances)
        << k;
  }
}

class BatchSize : public ::testing::Test {
 protected:
  [[nodiscard]] std::string out(const std::string& name) const { return (directory_.path() / name).string(); }

  test::TemporaryDirectory directory_;
};

TEST_F(BatchSize, ScalesTheRateAndTestsThreeTimes) {
  const ProgramResult result = run_program(
      "batch_size --limit-train 120 --limit-test 100 --epochs 2 --norms bn,gn:4 --batch-sizes 4,60 "
      "--batch-size 20 "
      "--lr 0.1,gn=0.02 --out " +
      out("s"));
  ASSERT_EQ(result.status, 0) << result.output;
  const std::vector<RunFigures> runs = read_figures(out("s"));
  ASSERT_EQ(runs.size(), 4U);
  for (const RunFigures& figures : runs) {
    const RunConfig& config = figures.run.config;
    EXPECT_EQ(config.text("swept"), "batch_size");
    const double base = figures.run.norm == "bn" ? 0.1 : 0.02;
    const double batch = config.number("batch_size").value();
    EXPECT_NEAR(config.number("lr").value(), base * batch / 20, 1e-12) << figures.run.run;
    EXPECT_EQ(config.number("steps").value(), 2 * 120 / batch);
    EXPECT_GT(config.number("memory_bytes").value(), 1e5);
    const bool is_bn = figures.run.norm == "bn";
    EXPECT_EQ(figures.last.at("train_mode.loss") != figures.last.at("test.loss"), is_bn) << figures.run.run;
    EXPECT_EQ(figures.last.at("reestimated.loss") != figures.last.at("test.loss"), is_bn) << figures.run.run;
  }
  EXPECT_TRUE(fs::exists(out("s") + "/bn-b4-seed0"));
  EXPECT_TRUE(fs::exists(out("s") + "/gn4-b60-seed0"));
  for (const char* part :
       {"4 runs", "batch_size 4, 60", "--full: --seeds 3: 12 runs", "memory of the network"})
    EXPECT_NE(result.output.find(part), std::string::npos) << part << result.output;
}

TEST_F(BatchSize, WrongListsAreRefused) {
  for (const auto& [arguments, says] :
       std::vector<std::pair<std::string, std::string>>{{"--batch-sizes 2,,4", "--batch-sizes: ''"},
                                                        {"--batch-sizes 2,x", "'x'"},
                                                        {"--batch-sizes 2,2", "twice"},
                                                        {"--batch-sizes 0", "at least 1"},
                                                        {"--micro-batch=-1", "--micro-batch"},
                                                        {"--batch-sizes 4 --micro-batch 8", "part of"}}) {
    const ProgramResult result = run_program("batch_size " + arguments + " --out " + out("s"));
    EXPECT_EQ(result.status, 2) << arguments;
    EXPECT_NE(result.output.find(says), std::string::npos) << arguments << result.output;
  }
  EXPECT_FALSE(fs::exists(out("s")));
}

}  // namespace
}  // namespace normlab
