// Whole training steps of the GPU backend on the emulated platform: they follow the CPU's, do not depend on
// the order in which threads run, leave no memory behind, and run every kernel of cuda/.

#include <filesystem>
#include <set>

#include "experiments/options/backends.hpp"
#include "layers/circular_pad.hpp"
#include "layers/conv2d.hpp"
#include "layers/group_norm.hpp"
#include "layers/initialize.hpp"
#include "layers/kernels/diagnostics.hpp"
#include "layers/kernels/optimizer.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "layers/steps.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/kernel_sources.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/norm_names.hpp"
#include "tests/support/places.hpp"

namespace normlab {
namespace {

const std::vector<std::string> kNorms = test::norm_names(2);

struct Trained {
  std::vector<float> start, values, states;
  std::vector<double> losses;

  bool operator==(const Trained&) const = default;
};

struct Recipe {
  std::string net = "net_a", norm = "none";
  OptimizerOptions::Kind optimizer = OptimizerOptions::Kind::sgd;
  int steps = 5;
};

std::vector<float> read(Backend& backend, const float* from, std::size_t count) {
  std::vector<float> values(count);
  backend.to_host(from, values.data(), count * sizeof(float));
  return values;
}

/// Steps of 6 augmented images of 16x16 pixels, the last of 5, then an evaluation.
Trained train(const std::string& backend_name, const Recipe& recipe) {
  const auto backend = test::make_test_backend(backend_name);
  constexpr int kImages = 20, kBatch = 6, kSize = 16;
  Graph graph(*backend, {1, 3, kSize, kSize});
  build_network(graph, {recipe.net, Norm::parse(recipe.norm), 0.5});
  graph.setup({.batch = kBatch, .evaluation_batch = kImages, .precision = backend.precision});
  initialize(graph, Initialization::he, 3);
  Optimizer optimizer(graph, {.kind = recipe.optimizer, .clip = 100});
  Philox random(8, Purpose::probe);
  std::vector<std::uint8_t> bytes(kImages * 3 * kSize * kSize);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(256));
  const test::DeviceArray<std::uint8_t> pixels(*backend, bytes);
  const ImageSet images{pixels.data(), nullptr, kImages, 3, kSize, kSize};
  std::vector<std::uint32_t> indices(kImages);
  std::vector<std::int32_t> labels(kImages);
  Batch batch;
  batch.images = &images;
  batch.indices = indices.data();
  batch.labels = labels.data();
  batch.mean = {0.5F, 0.48F, 0.45F};
  batch.std = {0.25F, 0.24F, 0.26F};
  Trained trained;
  trained.start = read(*backend, graph.values(), graph.parameter_count());
  for (int step = 0; step < recipe.steps; ++step) {
    for (std::size_t i = 0; i < indices.size(); ++i) {
      indices[i] = random.below(kImages);
      labels[i] = static_cast<std::int32_t>(indices[i] % 10);
    }
    batch.count = step + 1 < recipe.steps ? kBatch : kBatch - 1;
    batch.augmentation = {true, 7, static_cast<std::uint32_t>(step)};
    trained.losses.push_back(graph.forward_backward(batch).loss_sum);
    trained.losses.push_back(optimizer.step({0.001, 0.9}));
  }
  batch.count = kImages;
  batch.augmentation.enabled = false;
  trained.losses.push_back(graph.evaluate(batch).loss_sum);
  trained.values = read(*backend, graph.values(), graph.parameter_count());
  trained.states = read(*backend, graph.state_values(), graph.state_count());
  return trained;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

class CudaSteps : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaSteps, FollowTheCpu) {
  const Trained gpu = train("cuda_emulated", {.norm = GetParam()});
  const Trained cpu = train("cpu_blocked", {.norm = GetParam()});
  ASSERT_EQ(gpu.start, cpu.start);
  for (std::size_t i = 0; i < cpu.losses.size(); ++i) {
    EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 2e-3 * std::abs(cpu.losses[i])) << "number " << i;
  }
  EXPECT_LT(distance(gpu.values, cpu.values), 0.02 * distance(cpu.values, cpu.start));
  EXPECT_LE(distance(gpu.states, cpu.states),
            1e-4 * distance(cpu.states, std::vector<float>(cpu.states.size())));
}

TEST_P(CudaSteps, HaveEqualBitsWhateverTheOrderOfThreads) {
  for (const char* backend : {"cuda_emulated", "cuda_emulated_bf16"}) {
    SCOPED_TRACE(backend);
    const Recipe recipe{.norm = GetParam(), .steps = 2};
    simt::set_variant(0);
    const Trained first = train(backend, recipe);
    simt::set_variant(4);
    const Trained second = train(backend, recipe);
    simt::set_variant(0);
    EXPECT_TRUE(first == second);
    for (const double loss : first.losses) EXPECT_TRUE(std::isfinite(loss));
  }
}

TEST(CudaSteps, BatchNormByCudnnFollowsOurs) {
  const Trained ours = train("cuda_emulated", {.norm = "bn"});
  const Trained theirs = train("cuda_emulated_cudnn", {.norm = "bn"});
  ASSERT_EQ(ours.start, theirs.start);
  EXPECT_NE(ours.values, theirs.values);
  for (std::size_t i = 0; i < ours.losses.size(); ++i) {
    EXPECT_NEAR(ours.losses[i], theirs.losses[i], 2e-3 * std::abs(ours.losses[i])) << "number " << i;
  }
  EXPECT_LT(distance(ours.values, theirs.values), 0.02 * distance(ours.values, ours.start));
  EXPECT_LE(distance(ours.states, theirs.states),
            1e-4 * distance(ours.states, std::vector<float>(ours.states.size())));
}

INSTANTIATE_TEST_SUITE_P(NetA, CudaSteps, ::testing::ValuesIn(kNorms),
                         [](const auto& info) { return test::identifier(info.param); });

TEST(CudaKernels, EachRanAndNoMemoryIsLeft) {
  for (const char* backend_name : {"cuda_emulated", "cuda_emulated_bf16"}) {
    for (const std::string& norm : kNorms) train(backend_name, {.norm = norm, .steps = 1});
    train(backend_name, {.net = "plain:1", .optimizer = OptimizerOptions::Kind::adamw, .steps = 1});
    train(backend_name, {.net = "resnet:8", .norm = "bn", .steps = 1});
    train(std::string(backend_name) + "_cudnn", {.norm = "bn", .steps = 1});
    const auto backend = test::make_test_backend(backend_name);
    const reference::Tensor x(2, 3, 4, 4, 1.0), dy(2, 3, 6, 6, 1.0);
    test::run_layer(backend, std::make_unique<CircularPad>("pad"), x, dy, {});
    const reference::Tensor large(1, 16, 60, 60, 1.0);
    test::run_layer(backend, std::make_unique<GroupNorm>("norm", "norm", GroupNormSpec{}), large, large,
                    {reference::Values(16, 1.0), reference::Values(16, 0.0)});
    const test::DeviceArray<float> lanes(*backend, 64);
    backend->get<OptimizerKernels>().add_lanes(lanes.data(), 32, 32, 2);
    EXPECT_EQ(lanes.read(), std::vector<float>(64));
    EXPECT_EQ(backend->get<DiagnosticKernels>().moments(lanes.data(), {2, 4, 2, 4}).dead_fraction, 1);
    EXPECT_EQ(backend->get<DiagnosticKernels>().histogram(lanes.data(), 64, 2),
              (std::vector<float>{0, 0, 64, 0}));
    EXPECT_EQ(backend->get<DiagnosticKernels>().row_norms(lanes.data(), 2, 32), std::vector<double>(2));
    EXPECT_EQ(backend->get<DiagnosticKernels>().gram(lanes.data(), 2, 32), std::vector<double>(4));
    const test::DeviceArray<std::uint8_t> bytes(*backend, 12);
    const ImageSet images{bytes.data(), bytes.data(), 4, 3, 1, 1};
    Batch like;
    like.images = &images;
    Steps steps(*backend, like, 4, 4, [&](int samples) { (void)steps.take(0, samples, samples); });
    steps.load(std::vector<std::uint32_t>{0, 1, 2, 3}, std::vector<StepInput>{{}});
    steps.run(1);
  }
  std::set<std::string> ran;
  for (const auto& [name, launches] : simt::kernels()) ran.insert(name.substr(name.rfind(':') + 1));
  const std::set<std::string> all =
      test::names_of(test::kernels_in_sources(std::filesystem::path(test::source_dir()) / "cuda"));
  EXPECT_GT(all.size(), 30U);
  for (const std::string& name : all) EXPECT_TRUE(ran.contains(name)) << name << " never ran";
  EXPECT_EQ(simt::live_allocations(), 0U);
  EXPECT_EQ(simt::check_memory(), "");
}

/// The real thing: what keeps it from being used, where something does.
TEST(Cuda, TheDeviceIsThere) {
  if (const std::string missing = why_no_cuda(); !missing.empty()) GTEST_SKIP() << missing;
  EXPECT_EQ(make_backend("cuda", 1)->name(), "cuda");
}

TEST(Cuda, WithoutADeviceTheErrorSaysWhy) {
  const std::string missing = why_no_cuda();
  if (missing.empty()) GTEST_SKIP() << "there is a GPU";
  try {
    (void)make_backend("cuda", 1);
    FAIL() << "there is no GPU, but one was made";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(missing), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("--device cpu"), std::string::npos) << error.what();
  }
  EXPECT_EQ(make_backend("auto", 1)->name(), "cpu");
}

}  // namespace
}  // namespace normlab
