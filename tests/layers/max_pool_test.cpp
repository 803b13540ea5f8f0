#include "layers/max_pool.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

class MaxPoolShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(MaxPoolShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 6), c = draw.integer(1, 40), h = draw.integer(2, 9), w = draw.integer(2, 9);
  reference::Tensor x = draw.tensor(n, c, h, w);
  const bool ties = draw.integer(0, 1) == 0;
  for (double& value : x.v) {
    if (ties) value = draw.integer(0, 2);  // the first maximum in row order wins
  }
  reference::Tensor dy = draw.tensor(n, c, h / 2, w / 2);
  for (reference::Values* values : {&x.v, &dy.v}) test::round_to(type, *values);
  const reference::Choices choices = reference::max_pool_choices(x);
  const auto backend = test::make_test_backend(backend_name);
  const test::LayerRun run =
      test::run_layer(backend, std::make_unique<MaxPool>("p1"), x, dy, {}, 1 + seed % 3);
  test::expect_within(run.y, reference::max_pool(x, choices).v, 0.0, "y");
  test::expect_within(run.dx, reference::max_pool_backward(x, choices, dy).v, 0.0, "dx");
}

INSTANTIATE_TEST_SUITE_P(Random, MaxPoolShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

TEST(MaxPool, RefusesASinglePixel) {
  EXPECT_THROW(static_cast<void>(MaxPool("p1").infer(std::vector<Shape>{{1, 3, 1, 4}})), Error);
}

}  // namespace
}  // namespace normlab
