#include <algorithm>

#include "layers/softmax_cross_entropy.hpp"

#include "tests/reference/golden.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Values;

class SoftmaxShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(SoftmaxShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 20), classes = draw.integer(2, 40);
  const double size = draw.integer(0, 4) == 0 ? 100 : 3;
  const double smoothing = draw.integer(0, 1) == 0 ? 0 : draw.uniform(0.01, 0.3);
  reference::Tensor x = draw.tensor(n, classes, 1, 1, draw.integer(0, 4) == 0 ? 1e4 : 0, size);
  test::round_to(type, x.v);
  std::vector<int> labels;
  for (int i = 0; i < n; ++i) labels.push_back(draw.integer(0, classes - 1));
  const auto used = static_cast<double>(static_cast<float>(smoothing));
  const reference::Loss expected = reference::softmax_cross_entropy(x, labels, used);

  const auto backend = test::make_test_backend(backend_name);
  Graph graph(*backend, {1, classes, 1, 1});
  graph.add(std::make_unique<SoftmaxCrossEntropyLoss>(static_cast<float>(smoothing)), graph.input());
  graph.setup({.batch = n,
               .evaluation_batch = n,
               .shard_samples = draw.integer(1, 4),
               .precision = type,
               .keep = true,
               .input_gradient = true});
  const std::vector<float> values = test::floats(x.v);
  const std::vector<std::int32_t> targets(labels.begin(), labels.end());
  Batch batch;
  batch.count = n;
  batch.values = values.data();
  batch.labels = targets.data();
  const PassResult pass = graph.forward_backward(batch);
  EXPECT_NEAR(pass.loss_sum / n, expected.loss, 1e-6 * std::max(1.0, std::abs(expected.loss)));
  EXPECT_EQ(pass.correct, expected.correct);
  test::expect_within(graph.gradient("input"), expected.dlogits.v,
                      test::stored(type, expected.dlogits.v, 1e-6 / n), "dlogits");
  for (int i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto first = x.v.begin() + i * classes;
    const auto best = std::max_element(first, first + classes);
    EXPECT_EQ(graph.predicted()[at], best - first);
    double sum = 0;
    for (auto it = first; it != first + classes; ++it) sum += std::exp(*it - *best);
    EXPECT_NEAR(static_cast<double>(graph.confidence()[at]), 1 / sum, 1e-6);
  }
  const PassResult evaluation = graph.evaluate(batch);
  EXPECT_EQ(evaluation.loss_sum, pass.loss_sum);
}

INSTANTIATE_TEST_SUITE_P(Random, SoftmaxShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

}  // namespace
}  // namespace normlab
