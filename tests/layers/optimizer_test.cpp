// SGD and AdamW on the flat buffers against the reference (which is held against PyTorch), and the backend's
// reductions over flat buffers.

#include "layers/kernels/optimizer.hpp"
#include "layers/optimizer.hpp"

#include "layers/linear.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "tests/reference/optimizer.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Named;
using reference::Values;

struct Recipe {
  const char* name;
  bool adamw = false, nesterov = false;
  double weight_decay = 0, clip = 0;
};

class Optimizers : public ::testing::TestWithParam<std::tuple<std::string, Recipe>> {};

/// Flat buffers are the same whatever the layout and the storage of activations.
std::vector<std::string> devices() {
  std::vector<std::string> names{"cpu_blocked"};
  for (const std::string& name : test::backend_names(DataType::f32)) {
    if (test::has_part(name, "cuda")) names.push_back(name);
  }
  return names;
}

TEST_P(Optimizers, FollowTheReference) {
  const auto& [backend_name, recipe] = GetParam();
  const auto backend = test::make_test_backend(backend_name);
  Graph graph(*backend, {1, 20, 1, 1});
  graph.add(std::make_unique<ProbeLoss>(), graph.add(std::make_unique<Linear>("fc", 13), graph.input()));
  graph.setup({.batch = 1});
  const std::size_t count = graph.parameter_count();
  reference::Draw draw(3);
  Named parameters{{"w", draw.normals(count)}};
  test::round_to_float(parameters["w"]);
  backend->to_device(test::floats(parameters["w"]).data(), graph.values(), count * sizeof(float));

  Optimizer optimizer(graph, {recipe.adamw ? OptimizerOptions::Kind::adamw : OptimizerOptions::Kind::sgd,
                              recipe.nesterov, recipe.weight_decay, recipe.clip});
  reference::Sgd sgd{recipe.weight_decay, recipe.nesterov, {}};
  reference::AdamW adamw;
  adamw.weight_decay = recipe.weight_decay;
  for (int step = 0; step < 12; ++step) {
    const Rates rates{0.1 / (1 + step), recipe.adamw ? 0.9 : 0.95 - 0.01 * step};
    Named gradients{{"w", draw.normals(count, 0, step % 2 == 0 ? 1 : 0.01)}};
    test::round_to_float(gradients["w"]);
    backend->to_device(test::floats(gradients["w"]).data(), graph.gradients(), count * sizeof(float));
    const double norm = reference::global_norm(gradients);
    EXPECT_NEAR(optimizer.step(rates), norm, 1e-9 * norm);
    if (recipe.clip > 0) reference::clip_by_global_norm(gradients, recipe.clip);
    if (recipe.adamw) {
      adamw.step(parameters, gradients, rates.lr);
    } else {
      sgd.step(parameters, gradients, rates.lr, rates.momentum);
    }
  }
  std::vector<float> actual(count);
  backend->to_host(graph.values(), actual.data(), count * sizeof(float));
  test::expect_within(actual, parameters["w"], 2e-6, recipe.name);
}

INSTANTIATE_TEST_SUITE_P(
    Recipes, Optimizers,
    ::testing::Combine(::testing::ValuesIn(devices()),
                       ::testing::Values(Recipe{"sgd"}, Recipe{"sgd_decay", false, false, 0.05},
                                         Recipe{"nesterov", false, true, 0.05},
                                         Recipe{"clipped", false, false, 0.01, 2.0}, Recipe{"adamw", true},
                                         Recipe{"adamw_decay", true, false, 0.1, 3.0})),
    [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param).name; });

class FlatBuffers : public ::testing::TestWithParam<std::string> {};

TEST_P(FlatBuffers, LanesAreAddedWhateverTheirNumber) {
  for (int count = 1; count <= 16; ++count) {
    for (const int threads : {1, 2, 3}) {
      const auto backend = test::make_test_backend(GetParam(), threads);
      constexpr std::size_t kSize = 10007, kStride = 10016;
      std::vector<float> lanes(kStride * static_cast<std::size_t>(count));
      for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i] = static_cast<float>(i % 1000 + i / kStride);
      Values expected(kSize);
      for (std::size_t i = 0; i < kSize; ++i) {
        for (int lane = 0; lane < count; ++lane) {
          expected[i] += static_cast<double>(lanes[static_cast<std::size_t>(lane) * kStride + i]);
        }
      }
      const test::DeviceArray<float> on_device(*backend, lanes);
      backend->get<OptimizerKernels>().add_lanes(on_device.data(), kStride, kSize, count);
      lanes = on_device.read();
      lanes.resize(kSize);
      test::expect_within(lanes, expected, 0.0, "sum");  // small integers: exact
    }
  }
}

TEST_P(FlatBuffers, SumOfSquares) {
  const auto backend = test::make_test_backend(GetParam());
  for (const std::size_t count : {1U, 7U, 8U, 1001U}) {
    std::vector<float> values(count);
    double expected = 0;
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = static_cast<float>(i) - 3.25F;
      expected += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    const test::DeviceArray<float> on_device(*backend, values);
    const test::DeviceArray<double> sum(*backend, 1);
    backend->get<OptimizerKernels>().sum_of_squares(on_device.data(), count, sum.data());
    EXPECT_NEAR(sum.read()[0], expected, 1e-12 * expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FlatBuffers, ::testing::ValuesIn(devices()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace normlab
