#include "layers/circular_pad.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

class CircularPadShapes : public ::testing::TestWithParam<testing::BackendAndDraw> {};

TEST_P(CircularPadShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 4), c = draw.integer(1, 40), h = draw.integer(1, 8), w = draw.integer(1, 8);
  reference::Tensor x = draw.tensor(n, c, h, w), dy = draw.tensor(n, c, h + 2, w + 2);
  for (reference::Values* values : {&x.v, &dy.v}) testing::round_to_float(*values);
  const std::unique_ptr<Backend> backend = testing::make_test_backend(backend_name);
  const testing::LayerRun run =
      testing::run_layer(*backend, std::make_unique<CircularPad>("pad"), x, dy, {}, 1 + seed % 3);
  testing::expect_within(run.y, reference::wrap(x).v, 0.0, "y");
  testing::expect_within(run.dx, reference::wrap_backward(dy).v, 1e-5 * reference::largest(dy.v), "dx");
}

INSTANTIATE_TEST_SUITE_P(Random, CircularPadShapes,
                         ::testing::Combine(::testing::ValuesIn(testing::backend_names()),
                                            ::testing::Range(0, 200)),
                         testing::name_of);

}  // namespace
}  // namespace normlab
