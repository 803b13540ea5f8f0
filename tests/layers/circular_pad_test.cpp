#include "layers/circular_pad.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

class CircularPadShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(CircularPadShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 4), c = draw.integer(1, 40), h = draw.integer(1, 8), w = draw.integer(1, 8);
  reference::Tensor x = draw.tensor(n, c, h, w), dy = draw.tensor(n, c, h + 2, w + 2);
  for (reference::Values* values : {&x.v, &dy.v}) test::round_to(type, *values);
  const auto backend = test::make_test_backend(backend_name);
  const test::LayerRun run =
      test::run_layer(backend, std::make_unique<CircularPad>("pad"), x, dy, {}, 1 + seed % 3);
  test::expect_within(run.y, reference::wrap(x).v, 0.0, "y");
  const reference::Values dx = reference::wrap_backward(dy).v;
  test::expect_within(run.dx, dx, test::stored(type, dx, 1e-5 * reference::largest(dy.v)), "dx");
}

INSTANTIATE_TEST_SUITE_P(Random, CircularPadShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

}  // namespace
}  // namespace normlab
