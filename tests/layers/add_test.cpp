// The residual add: its own numbers, and a graph in which one value feeds two branches.

#include "layers/add.hpp"

#include "layers/conv2d.hpp"
#include "layers/relu.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Values;

class ResidualShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

/// y = x + conv2(x + conv1(x)): x has three readers. In bf16 six rounded values would follow one another: the
/// test below is the one for that.
TEST_P(ResidualShapes, BothBranchesGetTheirGradient) {
  const auto& [backend_name, seed] = GetParam();
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 5), c = draw.integer(1, 20), h = draw.integer(1, 6), w = draw.integer(1, 6);
  reference::Tensor x = draw.tensor(n, c, h, w), dy = draw.tensor(n, c, h, w);
  Values w1 = draw.normals(static_cast<std::size_t>(c * c * 9)),
         w2 = draw.normals(static_cast<std::size_t>(c * c * 9));
  for (Values* values : {&x.v, &dy.v, &w1, &w2}) test::round_to_float(*values);

  const reference::Conv conv{3, 1, 1};
  const reference::Tensor inner = reference::add(x, reference::conv2d(x, w1, {}, c, conv));
  const reference::Tensor y = reference::add(x, reference::conv2d(inner, w2, {}, c, conv));
  const reference::ConvGradients outer_gradients = reference::conv2d_backward(inner, w2, dy, conv);
  const reference::ConvGradients inner_gradients =
      reference::conv2d_backward(x, w1, outer_gradients.dx, conv);
  const reference::Tensor dx = reference::add(reference::add(dy, outer_gradients.dx), inner_gradients.dx);

  const auto backend = test::make_test_backend(backend_name);
  Graph graph(*backend, {1, c, h, w});
  const Conv2d::Options options{c, 3, 1, 1, false};
  const int first = graph.add(std::make_unique<Conv2d>("conv1", options), graph.input());
  const int sum = graph.add(std::make_unique<Add>("inner"), graph.input(), first);
  const int second = graph.add(std::make_unique<Conv2d>("conv2", options), sum);
  graph.add(std::make_unique<ProbeLoss>(), graph.add(std::make_unique<Add>("outer"), graph.input(), second));
  graph.setup({.batch = n, .shard_samples = draw.integer(1, 3), .keep = true, .input_gradient = true});
  const std::vector<float> weights = [&] {
    std::vector<float> all = test::floats(w1);
    const std::vector<float> rest = test::floats(w2);
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
  }();
  backend->to_device(weights.data(), graph.values(), weights.size() * sizeof(float));
  const std::vector<float> values = test::floats(x.v), output_weights = test::floats(dy.v);
  Batch batch;
  batch.count = n;
  batch.values = values.data();
  batch.output_weights = output_weights.data();
  graph.forward_backward(batch);
  test::expect_within(graph.activation("outer"), y.v, 1e-5 * c * 9 * reference::largest(inner.v), "y");
  test::expect_within(graph.gradient("input"), dx.v, 1e-5 * c * 9 * reference::largest(outer_gradients.dx.v),
                      "dx");
  std::vector<float> gradients(graph.parameter_count());
  backend->to_host(graph.gradients(), gradients.data(), gradients.size() * sizeof(float));
  Values expected = inner_gradients.dweight;
  expected.insert(expected.end(), outer_gradients.dweight.begin(), outer_gradients.dweight.end());
  test::expect_within(gradients, expected, 1e-5 * n * h * w * reference::largest(expected), "dweight");
}

INSTANTIATE_TEST_SUITE_P(Random, ResidualShapes, ::testing::ValuesIn(test::draws(200, DataType::f32)),
                         test::name_of);

class AddShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

/// y = x + relu(x): nothing but the sum, and the sum of two gradients, is rounded.
TEST_P(AddShapes, AddsForwardAndBackward) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 5), c = draw.integer(1, 40), h = draw.integer(1, 6), w = draw.integer(1, 6);
  reference::Tensor x = draw.tensor(n, c, h, w), dy = draw.tensor(n, c, h, w);
  for (Values* values : {&x.v, &dy.v}) test::round_to(type, *values);
  const reference::Mask mask = reference::relu_mask(x);
  const Values y = reference::add(x, reference::relu(x, mask)).v,
               dx = reference::add(dy, reference::relu_backward(mask, dy)).v;

  const auto backend = test::make_test_backend(backend_name);
  Graph graph(*backend, {1, c, h, w});
  const int positive = graph.add(std::make_unique<Relu>("relu"), graph.input());
  graph.add(std::make_unique<ProbeLoss>(), graph.add(std::make_unique<Add>("add"), graph.input(), positive));
  graph.setup({.batch = n,
               .shard_samples = draw.integer(1, 3),
               .precision = type,
               .keep = true,
               .input_gradient = true});
  const std::vector<float> values = test::floats(x.v), output_weights = test::floats(dy.v);
  Batch batch;
  batch.count = n;
  batch.values = values.data();
  batch.output_weights = output_weights.data();
  graph.forward_backward(batch);
  test::expect_within(graph.activation("add"), y,
                      test::stored(type, y, test::scaled(reference::absolute(y), 1e-7)), "y");
  test::expect_within(graph.gradient("input"), dx,
                      test::stored(type, dx, test::scaled(reference::absolute(dx), 1e-7)), "dx");
}

INSTANTIATE_TEST_SUITE_P(Random, AddShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

TEST(Add, RefusesTwoShapes) {
  EXPECT_THROW(static_cast<void>(Add("add").infer(std::vector<Shape>{{1, 3, 2, 2}, {1, 3, 2, 3}})), Error);
}

}  // namespace
}  // namespace normlab
