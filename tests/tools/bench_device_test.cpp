// bench --device cuda, on the emulated platform: every kernel is timed once, tables and CSV say what they
// compare. The figures mean nothing here, and no test asks for them.

#include "tools/bench/device.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "experiments/options/backends.hpp"
#include "tests/support/emulated_backend.hpp"
#include "tests/support/faulty_library.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tools/bench/alone.hpp"
#include "tools/bench/tables.hpp"

namespace normlab::bench {
namespace {

DevicePlan small_plan() {
  DevicePlan plan;
  plan.training.net = "plain:2";
  plan.training.width = 0.25;
  for (const char* norm : {"none", "bn", "ln", "gn:4", "in"})
    plan.training.norms.push_back(Norm::parse(norm));
  plan.training.batch_sizes = {2};
  plan.training.threads = {1};
  plan.layers = true;
  plan.rounds = 2;
  plan.copy_bytes = 1 << 16;
  plan.flush_bytes = 1 << 12;
  plan.maps = {{0, 8, 4, 4}, {3, 6, 3, 3}};
  plan.convolutions = {{{0, 3, 6, 6}, 8, 3}, {{1, 8, 4, 4}, 8, 1}};
  plan.epoch_images = 7;
  return plan;
}

/// Measured once for all tests.
const DeviceResults& results() {
  static const DeviceResults found =
      measure_device(small_plan(), [] { return test::make_emulated_backend(); });
  return found;
}

using Row = std::map<std::string, std::string>;

std::vector<Row> rows_of(const std::string& csv) {
  std::vector<Row> rows;
  std::istringstream lines(csv);
  std::string line;
  std::vector<std::string> names;
  const auto fields = [](const std::string& text) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
    return parts;
  };
  while (std::getline(lines, line)) {
    const std::vector<std::string> parts = fields(line);
    if (names.empty()) {
      names = parts;
      continue;
    }
    EXPECT_EQ(parts.size(), names.size()) << line;
    Row row;
    for (std::size_t i = 0; i < std::min(parts.size(), names.size()); ++i) row[names[i]] = parts[i];
    rows.push_back(row);
  }
  return rows;
}

std::vector<Figure> section(const std::string& name) {
  std::vector<Figure> figures;
  for (const Figure& figure : results().figures) {
    if (figure.section == name) figures.push_back(figure);
  }
  return figures;
}

TEST(BenchDevice, TimesEachNormColdAndWarm) {
  std::map<std::string, int> passes;
  for (const Figure& figure : section("norm")) {
    ++passes[figure.norm + " " + figure.pass + " " + figure.x.str()];
    EXPECT_GT(figure.seconds, 0);
    EXPECT_GT(figure.warm_seconds, 0);
    const double maps = figure.pass == "forward" ? 2 : 3;
    EXPECT_EQ(figure.bytes, maps * 4 * static_cast<double>(figure.x.count()));
    EXPECT_EQ(figure.flops, 0);
  }
  for (const auto& [what, times] : passes) EXPECT_EQ(times, 1) << what;
  // gn:4 does not divide 6 channels, none has no norm.
  EXPECT_EQ(passes.size(), 2U * (4 + 3));
  EXPECT_TRUE(passes.contains("bn backward 2x8x4x4"));
  EXPECT_TRUE(passes.contains("in forward 3x6x3x3"));
}

/// By the library, in one call each way; the graph's step, too.
TEST(BenchDevice, TimesBatchNormByCudnn) {
  DevicePlan plan = small_plan();
  plan.training.norms = {Norm::parse("bn")};
  plan.maps = {{0, 8, 4, 4}};
  plan.sections = {"norms", "training"};
  const DeviceResults found = measure_device(plan, [] {
    return test::make_emulated_backend({true, false, {}});
  });
  std::set<std::string> sections;
  for (const Figure& figure : found.figures) {
    sections.insert(figure.section + " " + figure.pass);
    EXPECT_GT(figure.seconds, 0);
  }
  for (const char* part : {"norm forward", "norm backward", "epoch replayed", "step direct"})
    EXPECT_TRUE(sections.contains(part)) << part;
}

TEST(BenchDevice, CountsTheConvolutionsFlops) {
  std::map<std::string, Figure> found;
  for (const Figure& figure : section("convolution")) found[figure.name + " " + figure.pass] = figure;
  ASSERT_EQ(found.size(), 5U) << "the first layer has no gradient of its input";
  const Figure& first = found.at("3x3 3 to 8 forward");
  EXPECT_EQ(first.flops, 2.0 * 2 * 36 * 8 * 27);
  EXPECT_EQ(first.bytes, 4.0 * (2 * 36 * 3 + 2 * 36 * 8));
  EXPECT_EQ(found.at("1x1 8 to 8 backward_data").x.n, 1);
  EXPECT_EQ(found.at("1x1 8 to 8 backward_data").flops, 2.0 * 16 * 8 * 8);
}

TEST(BenchDevice, TimesTheStepLayerByLayer) {
  std::map<std::string, std::map<std::string, const Figure*>> layers;
  const std::vector<Figure> all = section("layer");
  for (const Figure& figure : all) layers[figure.norm + " " + figure.name][figure.pass] = &figure;
  for (const char* norm : {"none", "bn", "ln", "gn:4", "in"}) {
    const auto& conv = layers[std::string(norm) + " b2.conv"];
    for (const char* pass : {"forward", "backward_data", "backward_weights"}) {
      ASSERT_TRUE(conv.contains(pass)) << norm << " " << pass;
      EXPECT_EQ(conv.at(pass)->flops, 2.0 * 2 * 16 * 16 * 8 * 72) << "of a step of 2 images";
    }
    EXPECT_TRUE(layers[std::string(norm) + " step"].contains("optimizer")) << norm;
  }
  const auto& norm = layers["ln b1.norm"];
  ASSERT_TRUE(norm.contains("norm_forward") && norm.contains("norm_backward"));
  EXPECT_EQ(norm.at("norm_forward")->bytes, 2.0 * 4 * 2 * 8 * 32 * 32);
  EXPECT_EQ(norm.at("norm_backward")->bytes, 3.0 * 4 * 2 * 8 * 32 * 32);
}

TEST(BenchDevice, PrintsTables) {
  const std::string text = device_tables(results());
  for (const char* part : {"emulated", "a copy moves", "Norms with ReLU", "warm us", "2 x 8x4x4",
                           "Convolutions, alone", "TFLOP/s", "1x1 8 to 8", "Training", "images/s",
                           "bn, fp32, batch 2", "b2.conv", "backward_weights", "optimizer"})
    EXPECT_HAS(text, part);
}

TEST(BenchDevice, CsvHasARowForEachFigure) {
  const std::vector<Row> rows = rows_of(device_csv(results()));
  ASSERT_EQ(rows.size(), results().figures.size());
  for (const Row& row : rows) {
    EXPECT_GT(std::stod(row.at("microseconds")), 0) << row.at("section") << row.at("name");
    EXPECT_EQ(std::stod(row.at("copy_gigabytes_per_second")) > 0, true);
    const bool moves = row.at("section") == "norm" || row.at("section") == "convolution";
    if (moves) {
      EXPECT_NEAR(
          std::stod(row.at("percent_of_copy")),
          100 * std::stod(row.at("gigabytes_per_second")) / std::stod(row.at("copy_gigabytes_per_second")),
          1e-3 * std::stod(row.at("percent_of_copy")));
    }
  }
}

/// What is timed must be what a network does.
TEST(BenchDevice, ANormAloneComputesWhatItDoesInANetwork) {
  for (const char* name : {"bn", "ln", "ln-elementwise", "gn:2", "in", "rms", "rms-elementwise"}) {
    const auto backend = test::make_emulated_backend();
    const Shape shape{3, 8, 4, 4};
    const Map x(*backend, shape, DataType::f32), y(*backend, shape, DataType::f32);
    const Map dy(*backend, shape, DataType::f32), dx(*backend, shape, DataType::f32);
    NormAlone alone(*backend, Norm::parse(name), x, y, dy, dx);
    const auto read = [&](const Map& map) {
      std::vector<float> values(shape.count());
      backend->download(map.tensor(), values.data());
      return values;
    };
    const std::vector<float> before = read(dx);
    alone.forward();
    alone.backward();
    // A normalized, scaled map behind a ReLU: not below 0, mean square about a half.
    double squares = 0;
    for (const float value : read(y)) {
      EXPECT_GE(value, 0.0F) << name;
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    EXPECT_NEAR(squares / static_cast<double>(shape.count()), 0.5, 0.15) << name;
    EXPECT_NE(read(dx), before) << name;
  }
}

/// On the CPU, too, bench says what the library got wrong, and once for all norms.
TEST(BenchCpu, SaysWhichImplementationFailedAndWhatIsUsed) {
  Plan plan;
  plan.net = "plain:1";
  plan.norms = {Norm::parse("none"), Norm::parse("in")};
  plan.batch_sizes = {2};
  plan.threads = {1};
  Results results{plan, {}, {}, 1};
  for (const bool is_faulty : {false, true}) {
    results.subjects.clear();
    for (const Cell& cell : plan.cells()) {
      auto host = std::make_unique<HostBackend>(1);
      host->prefer_library(true);
      if (is_faulty)
        host->set_library(
            test::faulty_library(ConvPass::forward, test::Faulty::Fault::reads_scratch, test::Which::first));
      results.subjects.push_back(std::make_unique<Subject>(plan, cell, std::move(host)));
    }
    const std::string text = notes(results);
    if (!is_faulty) {
      EXPECT_EQ(text, "");
      continue;
    }
    for (const char* part : {"note: 3x3 convolution of 3x32x32 to 32 channels", "forward: oneDNN's ",
                             " is wrong (", " is used\n"})
      EXPECT_HAS(text, part);
    EXPECT_EQ(text.find("note: ", 1), text.rfind("note: ")) << "none has a bias, in has not: " << text;
  }
}

TEST(BenchDevice, ADeviceWithoutAClockIsRefused) {
  const std::string message =
      test::message_of([] { (void)measure_device(small_plan(), [] { return make_backend("cpu", 1); }); });
  EXPECT_HAS(message, "no clock");
}

TEST(BenchDevice, WithoutAGpuTheErrorSaysWhy) {
  const std::string missing = why_no_cuda();
  if (missing.empty()) GTEST_SKIP() << "there is a GPU";
  const auto result = test::run_program("bench --device cuda --rounds 1");
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_HAS(result.output, missing);
}

TEST(BenchDevice, UnknownSectionsAreRefused) {
  const auto result = test::run_program("bench --device cuda --sections norms,colours");
  EXPECT_EQ(result.status, 2) << result.output;
  for (const char* part : {"--sections", "'colours'", "convolutions"}) EXPECT_HAS(result.output, part);
}

}  // namespace
}  // namespace normlab::bench
