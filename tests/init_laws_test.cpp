// A law that a wrong backward pass cannot hit: in a deep network of convolution, batch norm and ReLU at
// initialization, the gradient's norm grows by sqrt(pi / (pi - 1)) = 1.2112 for each layer going back (Yang
// et al., "A mean field theory of batch normalization", 2019). 30 convolutions 3x3 with 64 channels on 8x8
// tori.

#include <numbers>

#include "layers/batch_norm.hpp"
#include "layers/circular_pad.hpp"
#include "layers/conv2d.hpp"
#include "layers/initialize.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

double norm_of(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

double gradient_growth(std::uint64_t seed) {
  constexpr int kLayers = 30, kChannels = 64, kSamples = 64, kSize = 8;
  const auto backend = testing::make_test_backend("cpu_blocked", 2);
  Graph graph(*backend, {1, 3, kSize, kSize});
  int x = graph.input();
  for (int i = 1; i <= kLayers; ++i) {
    const std::string name = fmt::format("b{}", i);
    x = graph.add(std::make_unique<CircularPad>(name + ".pad"), x);
    x = graph.add(std::make_unique<Conv2d>(name + ".conv", Conv2d::Options{kChannels, 3, 1, 0, false}), x);
    x = graph.add(std::make_unique<BatchNorm>(name + ".norm", true), x);
  }
  graph.add(std::make_unique<ProbeLoss>(), x);
  graph.setup({.batch = kSamples, .keep = true});
  initialize(graph, Initialization::he, seed);
  Philox random(seed, Purpose::probe);
  std::vector<float> input(kSamples * 3 * kSize * kSize), output(kSamples * kChannels * kSize * kSize);
  for (float& value : input) value = static_cast<float>(random.normal());
  for (float& value : output) value = static_cast<float>(random.normal());
  Batch batch;
  batch.count = kSamples;
  batch.values = input.data();
  batch.output_weights = output.data();
  graph.forward_backward(batch);
  return std::pow(norm_of(graph.gradient("b3.conv")) / norm_of(graph.gradient("b25.conv")), 1.0 / 22);
}

TEST(InitLaws, BatchNormGradientsGrowAsTheoryHasIt) {
  constexpr int kSeeds = 5;
  double growth = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) growth += gradient_growth(seed) / kSeeds;
  const double theory = std::sqrt(std::numbers::pi / (std::numbers::pi - 1));
  EXPECT_NEAR(growth, theory, 0.01 * theory);
  RecordProperty("growth", fmt::format("{:.4f}", growth));
}

}  // namespace
}  // namespace normlab
