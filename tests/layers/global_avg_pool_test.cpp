#include "layers/global_avg_pool.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

class GlobalAvgPoolShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(GlobalAvgPoolShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 6), c = draw.integer(1, 40);
  reference::Tensor x = draw.tensor(n, c, draw.integer(1, 9), draw.integer(1, 9), 0.5),
                    dy = draw.tensor(n, c, 1, 1);
  for (reference::Values* values : {&x.v, &dy.v}) test::round_to(type, *values);
  const auto backend = test::make_test_backend(backend_name);
  const test::LayerRun run =
      test::run_layer(backend, std::make_unique<GlobalAvgPool>("gap"), x, dy, {}, 1 + seed % 3);
  reference::Values y_tolerance = reference::global_average_pool(reference::absolute(x)).v;
  for (double& value : y_tolerance) value *= 1e-6;
  const reference::Values y = reference::global_average_pool(x).v,
                          dx = reference::global_average_pool_backward(x, dy).v;
  test::expect_within(run.y, y, test::stored(type, y, y_tolerance), "y");
  test::expect_within(run.dx, dx, test::stored(type, dx, 1e-6 * reference::largest(dy.v)), "dx");
}

INSTANTIATE_TEST_SUITE_P(Random, GlobalAvgPoolShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

}  // namespace
}  // namespace normlab
