#include "layers/linear.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Values;

class LinearShapes : public ::testing::TestWithParam<testing::BackendAndDraw> {};

TEST_P(LinearShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = testing::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 12), in = draw.integer(1, 70), out = draw.integer(1, 40);
  reference::Tensor x = draw.tensor(n, in, 1, 1, 0.2), dy = draw.tensor(n, out, 1, 1);
  Values weight = draw.normals(static_cast<std::size_t>(in * out)),
         bias = draw.normals(static_cast<std::size_t>(out));
  for (Values* values : {&x.v, &dy.v}) testing::round_to(type, *values);
  for (Values* values : {&weight, &bias}) testing::round_to_float(*values);
  const reference::ConvGradients expected = reference::linear_backward(x, weight, dy);
  const reference::ConvGradients size = reference::linear_backward(
      reference::absolute(x), reference::absolute(weight), reference::absolute(dy));
  const auto backend = testing::make_test_backend(backend_name, 1 + seed % 2);
  const testing::LayerRun run =
      testing::run_layer(backend, std::make_unique<Linear>("fc", out), x, dy, {weight, bias}, 1 + seed % 5);
  const reference::Tensor y_size =
      reference::linear(reference::absolute(x), reference::absolute(weight), reference::absolute(bias), out);
  const Values y = reference::linear(x, weight, bias, out).v;
  testing::expect_within(run.y, y, testing::stored(type, y, testing::scaled(y_size.v, 1e-5)), "y");
  testing::expect_within(run.dx, expected.dx.v,
                         testing::stored(type, expected.dx.v, testing::scaled(size.dx.v, 1e-5)), "dx");
  testing::expect_within(run.gradients[0], expected.dweight, testing::scaled(size.dweight, 1e-5), "dweight");
  testing::expect_within(run.gradients[1], expected.dbias, testing::scaled(size.dbias, 1e-5), "dbias");
}

INSTANTIATE_TEST_SUITE_P(Random, LinearShapes, ::testing::ValuesIn(testing::draws(200)), testing::name_of);

TEST(Linear, WantsOnePixel) {
  EXPECT_THROW(static_cast<void>(Linear("fc", 10).infer(std::vector<Shape>{{1, 3, 2, 2}})), Error);
}

}  // namespace
}  // namespace normlab
