// Batch norm against the reference: statistics cross shards, so the shards' size varies too. Tolerances as in
// group_norm_test.cpp.

#include <algorithm>

#include "layers/batch_norm.hpp"

#include "experiments/options/backends.hpp"
#include "layers/group_norm.hpp"
#include "layers/kernels/batch_norm.hpp"
#include "tests/reference/norms.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/norm_tolerance.hpp"

namespace normlab {
namespace {

using reference::Values;

struct Case {
  bool relu = false;
  reference::Tensor x, dy;
  Values gamma, beta;
};

/// cuDNN takes channels in eights here and promises little for means above the deviation.
Case draw_case(int seed, DataType type, bool by_cudnn) {
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(0, 4) == 0 ? 1 : draw.integer(2, 9),
            any = draw.integer(0, 4) == 0 ? 1 : draw.integer(1, 40), c = by_cudnn ? (any + 7) / 8 * 8 : any;
  int h = draw.integer(0, 4) == 0 ? 1 : draw.integer(1, 8);
  const int w = draw.integer(0, 4) == 0 ? 1 : draw.integer(1, 8);
  if (n * h * w == 1) h = 2;  // one value per channel is refused, see below
  const int content = draw.integer(by_cudnn ? 2 : 0, 5);
  Case k{draw.integer(0, 1) == 0,
         draw.tensor(n, c, h, w, content == 0 ? 1e4 : 0.5, content == 1 ? 1e-3 : 1.0),
         draw.tensor(n, c, h, w, 0.2), draw.gammas(static_cast<std::size_t>(c)),
         draw.normals(static_cast<std::size_t>(c))};
  if (content == 2) std::fill(k.x.v.begin(), k.x.v.end(), draw.normal());
  for (Values* values : {&k.x.v, &k.dy.v}) test::round_to(type, *values);
  for (Values* values : {&k.gamma, &k.beta}) test::round_to_float(*values);
  return k;
}

class BatchNormShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(BatchNormShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  const bool by_cudnn = test::has_part(backend_name, "cudnn");
  const reference::Norm norm = reference::Norm::parse("bn");
  Case k;
  reference::NormForward forward;
  for (int attempt = 0; attempt < 50; ++attempt) {  // redrawn near the ReLU's kink
    k = draw_case(seed + 1000 * attempt, type, by_cudnn);
    forward = reference::norm_forward(norm, k.x, k.gamma, k.beta);
    if (!k.relu || reference::relu_kink_distance(forward.y) > 2e-5) break;
  }
  SCOPED_TRACE(fmt::format("relu {} x {}x{}x{}x{}", k.relu, k.x.n, k.x.c, k.x.h, k.x.w));
  const reference::Mask mask =
      k.relu ? reference::relu_mask(forward.y) : reference::Mask(forward.y.size(), std::uint8_t{1});
  const reference::Tensor dz = reference::relu(k.dy, mask);
  const reference::NormGradients expected = reference::norm_backward(norm, forward, k.gamma, dz);
  reference::RunningStatistics running{Values(k.gamma.size(), 0.0), Values(k.gamma.size(), 1.0)};
  reference::update_running(running, forward);

  const auto backend = test::make_test_backend(backend_name, 1 + seed % 2);
  const test::LayerRun run = test::run_layer(backend, std::make_unique<BatchNorm>("norm", k.relu), k.x, k.dy,
                                             {k.gamma, k.beta}, by_cudnn ? 0 : 1 + seed % 4);
  const Values y = reference::relu(forward.y, mask).v;
  const test::NormTolerance tolerance = test::norm_tolerance(norm, forward, k.gamma, k.beta, dz);
  test::expect_within(run.y, y, test::stored(type, y, tolerance.y), "y");
  test::expect_within(run.dx, expected.dx.v, test::stored(type, expected.dx.v, tolerance.dx), "dx");
  test::expect_within(run.gradients[0], expected.dgamma, tolerance.dgamma, "dgamma");
  test::expect_within(run.gradients[1], expected.dbeta, tolerance.dbeta, "dbeta");
  test::expect_within(run.states[0], running.mean, 1e-6 * (1 + reference::largest(running.mean)),
                      "running_mean");
  test::expect_within(run.states[1], running.var, 1e-5 * (1 + reference::largest(running.var)),
                      "running_var");
}

INSTANTIATE_TEST_SUITE_P(Random, BatchNormShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

INSTANTIATE_TEST_SUITE_P(
    ByCudnn, BatchNormShapes, ::testing::ValuesIn([] {
      std::vector<test::BackendAndDraw> all;
      for (const char* name : {"cuda_emulated_cudnn", "cuda_emulated_cudnn_bf16", "cuda_cudnn"}) {
        if (std::string(name) == "cuda_cudnn" && !why_no_cuda().empty()) continue;
        for (int draw = 0; draw < 20; ++draw) all.emplace_back(name, draw);
      }
      return all;
    }()),
    test::name_of);

class BatchNormLaws : public ::testing::TestWithParam<std::string> {};

TEST_P(BatchNormLaws, EvaluationUsesTheRunningStatistics) {
  const auto backend = test::make_test_backend(GetParam());
  reference::Draw draw(5);
  reference::Tensor x = draw.tensor(4, 6, 3, 3);
  test::round_to(backend.precision, x.v);
  const Values gamma = draw.gammas(6), beta = draw.normals(6);
  reference::RunningStatistics running{draw.normals(6), Values()};
  for (int c = 0; c < 6; ++c) running.var.push_back(draw.uniform(0.3, 3));
  const reference::NormForward expected = reference::batch_norm_evaluation(x, gamma, beta, running);

  const Shape shape{4, 6, 3, 3};
  const Buffer from(*backend, backend->bytes(shape, backend.precision, Layout::native));
  const Buffer to(*backend, from.bytes()), statistics(*backend, 6 * sizeof(Statistics));
  const Tensor input{from.data(), shape, backend.precision}, output{to.data(), shape, backend.precision};
  backend->upload(test::floats(x.v).data(), input);
  const test::DeviceArray<float> g(*backend, test::floats(gamma)), b(*backend, test::floats(beta));
  const test::DeviceArray<float> mean(*backend, test::floats(running.mean)),
      var(*backend, test::floats(running.var));
  auto* s = reinterpret_cast<Statistics*>(statistics.data());
  backend->get<BatchNormKernels>().running(mean.data(), var.data(), 6, s);
  backend->get<BatchNormKernels>().forward({input, s, g.data(), b.data(), false}, output);
  std::vector<float> y(shape.count());
  backend->download(output, y.data());
  const double tolerance = 1e-5 * reference::largest(expected.y.v);
  test::expect_within(y, expected.y.v, test::stored(backend.precision, expected.y.v, tolerance), "y");
}

TEST(BatchNormByCudnn, EvaluatesWithTheRunningStatistics) {
  const auto backend = test::make_test_backend("cuda_emulated_cudnn");
  reference::Draw draw(15);
  const reference::Tensor x = draw.tensor(3, 8, 2, 5);
  const Values gamma = draw.gammas(8), beta = draw.normals(8);
  reference::RunningStatistics running{draw.normals(8), Values()};
  for (int c = 0; c < 8; ++c) running.var.push_back(draw.uniform(0.3, 3));
  const Values expected = reference::batch_norm_evaluation(x, gamma, beta, running).y.v;

  const Shape shape{3, 8, 2, 5};
  const Buffer from(*backend, backend->bytes(shape, DataType::f32, Layout::native)),
      to(*backend, from.bytes());
  const Tensor input{from.data(), shape}, output{to.data(), shape};
  backend->upload(test::floats(x.v).data(), input);
  const test::DeviceArray<float> g(*backend, test::floats(gamma)), b(*backend, test::floats(beta));
  const test::DeviceArray<float> mean(*backend, test::floats(running.mean)),
      var(*backend, test::floats(running.var));
  const std::unique_ptr<BatchNormPlan> plan = backend->get<BatchNormKernels>().plan({shape, false});
  ASSERT_NE(plan, nullptr);
  plan->evaluate(input, {g.data(), b.data(), mean.data(), var.data()}, output);
  std::vector<float> y(shape.count());
  backend->download(output, y.data());
  test::expect_within(y, expected, 1e-5 * reference::largest(expected), "y");
  EXPECT_EQ(mean.read(), test::floats(running.mean));
}

TEST(BatchNormByCudnn, ChannelsThatAreNotInEightsAreRefused) {
  const auto backend = test::make_test_backend("cuda_emulated_cudnn");
  const reference::Tensor x(2, 12, 3, 3, 2.0);
  try {
    test::run_layer(backend, std::make_unique<BatchNorm>("c1.norm", false), x, x,
                    {Values(12, 1.0), Values(12, 0.0)});
    FAIL() << "cuDNN read past gamma's end";
  } catch (const Error& error) {
    for (const char* part : {"c1.norm", "12", "--bn own"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST_P(BatchNormLaws, OneValuePerChannelIsRefused) {
  const auto backend = test::make_test_backend(GetParam());
  const reference::Tensor x(1, 3, 1, 1, 2.0);
  try {
    test::run_layer(backend, std::make_unique<BatchNorm>("c1.norm", false), x, x,
                    {Values(3, 1.0), Values(3, 0.0)});
    FAIL() << "batch norm trained on one value per channel";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("c1.norm"), std::string::npos) << error.what();
  }
}

TEST_P(BatchNormLaws, AtOneSampleItIsInstanceNorm) {
  const auto backend = test::make_test_backend(GetParam());
  reference::Draw draw(6);
  const reference::Tensor x = draw.tensor(1, 20, 5, 7, 1.5), dy = draw.tensor(1, 20, 5, 7);
  const std::vector<Values> parameters{draw.gammas(20), draw.normals(20)};
  const test::LayerRun bn =
      test::run_layer(backend, std::make_unique<BatchNorm>("norm", true), x, dy, parameters);
  const test::LayerRun in = test::run_layer(
      backend, std::make_unique<GroupNorm>("norm", "in", GroupNormSpec{20, true, false, true}), x, dy,
      parameters);
  if (backend.precision == DataType::bf16) return;  // two results close to a tie may fall to either side
  test::expect_within(bn.y, Values(in.y.begin(), in.y.end()), 1e-5, "y");
  test::expect_within(bn.dx, Values(in.dx.begin(), in.dx.end()), 1e-5, "dx");
  for (std::size_t i = 0; i < 2; ++i) {
    test::expect_within(bn.gradients[i], Values(in.gradients[i].begin(), in.gradients[i].end()), 1e-4,
                        "gradient");
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, BatchNormLaws, ::testing::ValuesIn(test::backend_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace normlab
