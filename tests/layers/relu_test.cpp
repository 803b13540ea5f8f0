#include "layers/relu.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

class ReluShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(ReluShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  reference::Tensor x =
      draw.tensor(draw.integer(1, 6), draw.integer(1, 40), draw.integer(1, 8), draw.integer(1, 8));
  for (double& value : x.v) {
    if (draw.integer(0, 9) == 0) value = 0;  // the gradient at 0 is 0
  }
  reference::Tensor dy = x.like();
  dy.v = draw.normals(dy.size());
  for (reference::Values* values : {&x.v, &dy.v}) test::round_to(type, *values);
  const reference::Mask mask = reference::relu_mask(x);
  const auto backend = test::make_test_backend(backend_name);
  const test::LayerRun run =
      test::run_layer(backend, std::make_unique<Relu>("relu"), x, dy, {}, 1 + seed % 3);
  test::expect_within(run.y, reference::relu(x, mask).v, 0.0, "y");
  test::expect_within(run.dx, reference::relu_backward(mask, dy).v, 0.0, "dx");
}

INSTANTIATE_TEST_SUITE_P(Random, ReluShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

}  // namespace
}  // namespace normlab
