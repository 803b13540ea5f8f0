// Every kernel of cuda/ on tiny grids: none is left out, every order of threads gives the same bits, and
// under ThreadSanitizer (tools/test --full) none has a race.

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <regex>
#include <set>

#include "cuda/cuda_backend.hpp"
#include "layers/add.hpp"
#include "layers/circular_pad.hpp"
#include "layers/conv2d.hpp"
#include "layers/global_avg_pool.hpp"
#include "layers/initialize.hpp"
#include "layers/kernels/diagnostics.hpp"
#include "layers/kernels/group_norm.hpp"
#include "layers/kernels/optimizer.hpp"
#include "layers/linear.hpp"
#include "layers/max_pool.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "layers/relu.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "layers/steps.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/kernel_sources.hpp"
#include "tests/support/places.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

constexpr int kBatch = 3, kSide = 6, kClasses = 5;
const std::vector<std::string> kNorms = {"none", "bn",  "bn by cudnn",    "ln", "ln-elementwise", "gn:2",
                                         "in",   "rms", "rms-elementwise"};

// All layers there are, each with a few channels and pixels.
void build(Graph& graph, Norm norm) {
  const auto conv = [&](const char* name, int out, int kernel, int padding, bool bias, int x) {
    return graph.add(std::make_unique<Conv2d>(name, Conv2d::Options{out, kernel, 1, padding, bias}), x);
  };
  int x = conv("first", 8, 3, 1, norm.is_none(), graph.input());
  const int block = x = add_norm_relu(graph, "first", norm, 8, x);
  x = graph.add(std::make_unique<CircularPad>("wrap"), x);
  x = conv("second", 8, 3, 0, false, x);
  x = add_norm(graph, "second", norm, 8, x, false);
  x = graph.add(std::make_unique<Add>("add"), x, block);
  x = graph.add(std::make_unique<Relu>("relu"), x);
  x = graph.add(std::make_unique<MaxPool>("pool"), x);
  x = conv("third", 12, 1, 0, true, x);
  x = graph.add(std::make_unique<GlobalAvgPool>("gap"), x);
  x = graph.add(std::make_unique<Linear>("fc", kClasses), x);
  graph.add(std::make_unique<SoftmaxCrossEntropyLoss>(0.1F), x);
}

// Two steps on images and one on numbers, with either optimizer; an evaluation. Returns the parameters' bits.
std::vector<float> train(const std::string& norm, DataType precision) {
  const bool by_cudnn = norm.ends_with("cudnn");
  const auto backend = NORMLAB_PLATFORM::make_cuda_backend({0, false, by_cudnn, {}});
  Graph graph(*backend, {1, 3, kSide, kSide});
  build(graph, Norm::parse(by_cudnn ? "bn" : norm));
  graph.setup({.batch = kBatch, .evaluation_batch = kBatch, .precision = precision});
  initialize(graph, Initialization::he, 1);
  Optimizer sgd(graph, {.clip = 0.5}), adamw(graph, {.kind = OptimizerOptions::Kind::adamw});

  std::vector<std::uint8_t> bytes(4 * 3 * kSide * kSide);
  std::vector<float> values(kBatch * 3 * kSide * kSide);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 % 251);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 29 % 17) / 8 - 1;
  const std::vector<std::uint32_t> indices = {2, 0, 3};
  const std::vector<std::int32_t> labels = {1, 4, 0};
  Buffer pixels(*backend, bytes.size());
  backend->to_device(bytes.data(), pixels.data(), bytes.size());
  const ImageSet images{reinterpret_cast<const std::uint8_t*>(pixels.data()), nullptr, 4, 3, kSide, kSide};
  Batch batch;
  batch.count = kBatch;
  batch.labels = labels.data();
  batch.images = &images;
  batch.indices = indices.data();
  batch.augmentation = {true, 5, 1};
  batch.std = {1, 1, 1};
  graph.forward_backward(batch);
  (void)sgd.step({0.05, 0.9});
  graph.forward_backward(batch);
  (void)adamw.step({0.001, 0.9});
  const std::vector<std::uint8_t> byte_labels = {1, 4, 0, 2};
  Buffer all_labels(*backend, byte_labels.size());
  backend->to_device(byte_labels.data(), all_labels.data(), byte_labels.size());
  const ImageSet labelled{
      images.pixels, reinterpret_cast<const std::uint8_t*>(all_labels.data()), 4, 3, kSide, kSide};
  batch.images = &labelled;
  Steps steps(*backend, batch, 4, 2, [&](int samples) {
    const Batch taken = steps.take(0, samples, samples);
    graph.enqueue(taken, Graph::Pass::training);
    steps.add(graph, taken);
    sgd.update(steps.rates(), steps.squared_norm());
  });
  const StepRates rates = sgd.rates_of({0.05, 0.9}, 2);
  steps.load(std::vector<std::uint32_t>{3, 0, 1, 2}, std::vector<StepInput>{{0, 1, rates}, {2, 1, rates}});
  steps.run(2);  // the second time from a graph
  for (const StepSums& sums : steps.results(0, 2)) {
    EXPECT_TRUE(std::isfinite(sums.loss_sum));
    EXPECT_GT(sums.squared_norm, 0);
  }
  batch.images = nullptr;
  batch.values = values.data();
  batch.count = 2;  // less than was booked
  graph.forward_backward(batch);
  (void)sgd.step({0.05, 0.9});
  const PassResult pass = graph.evaluate(batch);
  EXPECT_TRUE(std::isfinite(pass.loss_sum));
  std::vector<float> result(graph.parameter_count());
  backend->get<OptimizerKernels>().add_lanes(graph.gradients(), 4, 4, 3);
  backend->to_host(graph.values(), result.data(), result.size() * sizeof(float));
  result.push_back(static_cast<float>(pass.loss_sum));
  return result;
}

// Groups that no block can keep: forward and backward in parts; without a mean there is no beta either.
// Returns y, dx and the gradients.
std::vector<float> large_map(bool centered, bool elementwise, DataType type) {
  const auto backend = NORMLAB_PLATFORM::make_cuda_backend();
  constexpr Shape kShape{1, 16, 58, 59};
  const std::size_t affine = elementwise ? kShape.count() : 16;
  const Buffer x(*backend, backend->bytes(kShape, type, Layout::native)), y(*backend, x.bytes()),
      dx(*backend, x.bytes()), parameters(*backend, 4 * affine * sizeof(float)),
      statistics(*backend, sizeof(Statistics));
  const auto tensor = [&](const Buffer& buffer) { return Tensor{buffer.data(), kShape, type}; };
  std::vector<float> values(2 * kShape.count()), result(4 * affine);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 29 % 17) / 8 - 1;
  backend->upload(values.data(), tensor(x));
  backend->to_device(values.data(), parameters.data(), 2 * affine * sizeof(float));
  const GroupNormSpec spec{1, centered, elementwise, true};
  auto* found = reinterpret_cast<Statistics*>(statistics.data());
  float* gamma = parameters.floats();
  const float* beta = centered ? gamma + affine : nullptr;
  backend->get<GroupNormKernels>().forward({spec, tensor(x), gamma, beta, tensor(y), found});
  backend->get<GroupNormKernels>().backward({spec, tensor(x), found, gamma, beta, tensor(x), tensor(dx),
                                             gamma + 2 * affine, centered ? gamma + 3 * affine : nullptr});
  backend->to_host(gamma, result.data(), result.size() * sizeof(float));
  for (const Buffer* buffer : {&y, &dx}) {
    backend->download(tensor(*buffer), values.data());
    values.resize(kShape.count());
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

// The diagnostics' reductions: what they found, in a row.
std::vector<double> look() {
  const auto backend = NORMLAB_PLATFORM::make_cuda_backend();
  constexpr Shape kShape{40, 3, 3, 5};
  std::vector<float> values(kShape.count());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 29 % 17) / 8 - 1;
  const Buffer buffer(*backend, values.size() * sizeof(float));
  backend->to_device(values.data(), buffer.data(), buffer.bytes());
  const Moments moments = backend->get<DiagnosticKernels>().moments(buffer.floats(), kShape);
  std::vector<double> found{moments.mean, moments.variance, moments.dead_fraction};
  for (const float value : backend->get<DiagnosticKernels>().histogram(buffer.floats(), values.size(), 7)) {
    found.push_back(static_cast<double>(value));
  }
  for (const auto& list :
       {backend->get<DiagnosticKernels>().row_norms(buffer.floats(), kShape.n, kShape.per_sample()),
        backend->get<DiagnosticKernels>().gram(buffer.floats(), kShape.n, kShape.per_sample())}) {
    found.insert(found.end(), list.begin(), list.end());
  }
  return found;
}

class CudaKernels : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaKernels, EqualBitsForEveryOrderOfThreads) {
  for (const DataType precision : {DataType::f32, DataType::bf16}) {
    simt::set_variant(0);
    const std::vector<float> first = train(GetParam(), precision);
#ifndef __SANITIZE_THREAD__  // one order is enough for it
    for (int variant = 1; variant < 6; ++variant) {
      simt::set_variant(variant);
      ASSERT_EQ(train(GetParam(), precision), first) << "variant " << variant;
    }
#endif
  }
  EXPECT_EQ(simt::check_memory(), "");
  EXPECT_EQ(simt::live_allocations(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Norms, CudaKernels, ::testing::ValuesIn(kNorms), [](const auto& info) {
  return std::regex_replace(info.param, std::regex("[^a-z0-9]"), "_");
});

TEST(CudaKernelsInParts, EqualBitsForEveryOrderOfThreads) {
  for (const bool centered : {false, true}) {
    for (const bool elementwise : {false, true}) {
      simt::set_variant(0);
      const std::vector<float> first = large_map(centered, elementwise, DataType::f32);
#ifndef __SANITIZE_THREAD__
      for (int variant = 1; variant < 4; ++variant) {
        simt::set_variant(variant);
        ASSERT_EQ(large_map(centered, elementwise, DataType::f32), first) << "variant " << variant;
      }
#endif
    }
  }
  EXPECT_EQ(simt::check_memory(), "");
}

TEST(CudaKernelsOfDiagnostics, EqualBitsForEveryOrderOfThreads) {
  simt::set_variant(0);
  const std::vector<double> first = look();
#ifndef __SANITIZE_THREAD__
  for (int variant = 1; variant < 6; ++variant) {
    simt::set_variant(variant);
    ASSERT_EQ(look(), first) << "variant " << variant;
  }
#endif
  EXPECT_EQ(simt::check_memory(), "");
  EXPECT_EQ(simt::live_allocations(), 0U);
}

// The last one: what the others ran is counted.
TEST(CudaKernelsCovered, AsManyAsThereAre) {
  for (const std::string& norm : kNorms)
    for (const DataType precision : {DataType::f32, DataType::bf16}) (void)train(norm, precision);
  for (const DataType precision : {DataType::f32, DataType::bf16}) (void)large_map(true, false, precision);
  (void)look();
  std::set<std::string> ran;
  for (const auto& [name, launches] : simt::kernels()) {
    const std::string prefix = "normlab::cuda_emulated::";
    EXPECT_TRUE(name.starts_with(prefix))
        << name << " has no name of its own: not static, nor in an anonymous namespace";
    if (name.starts_with(prefix)) ran.insert(name.substr(prefix.size()));
  }
  const std::set<std::string> all =
      test::names_of(test::kernels_in_sources(fs::path(test::source_dir()) / "cuda"));
  for (const std::string& name : all) EXPECT_TRUE(ran.contains(name)) << name << " did not run";
  for (const std::string& name : ran) EXPECT_TRUE(all.contains(name)) << name << " is not in cuda/";
}

}  // namespace
}  // namespace normlab
