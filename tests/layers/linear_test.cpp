#include "layers/linear.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Values;

class LinearShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(LinearShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 12), in = draw.integer(1, 70), out = draw.integer(1, 40);
  reference::Tensor x = draw.tensor(n, in, 1, 1, 0.2), dy = draw.tensor(n, out, 1, 1);
  Values weight = draw.normals(static_cast<std::size_t>(in * out)),
         bias = draw.normals(static_cast<std::size_t>(out));
  for (Values* values : {&x.v, &dy.v}) test::round_to(type, *values);
  for (Values* values : {&weight, &bias}) test::round_to_float(*values);
  const reference::ConvGradients expected = reference::linear_backward(x, weight, dy);
  const reference::ConvGradients size = reference::linear_backward(
      reference::absolute(x), reference::absolute(weight), reference::absolute(dy));
  const auto backend = test::make_test_backend(backend_name, 1 + seed % 2);
  const test::LayerRun run =
      test::run_layer(backend, std::make_unique<Linear>("fc", out), x, dy, {weight, bias}, 1 + seed % 5);
  const reference::Tensor y_size =
      reference::linear(reference::absolute(x), reference::absolute(weight), reference::absolute(bias), out);
  const Values y = reference::linear(x, weight, bias, out).v;
  test::expect_within(run.y, y, test::stored(type, y, test::scaled(y_size.v, 1e-5)), "y");
  test::expect_within(run.dx, expected.dx.v, test::stored(type, expected.dx.v, test::scaled(size.dx.v, 1e-5)),
                      "dx");
  test::expect_within(run.gradients[0], expected.dweight, test::scaled(size.dweight, 1e-5), "dweight");
  test::expect_within(run.gradients[1], expected.dbias, test::scaled(size.dbias, 1e-5), "dbias");
}

INSTANTIATE_TEST_SUITE_P(Random, LinearShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

/// A NaN or an infinity in each place of x, of dy and of the weights, just where the reference has it.
class LinearDesigned : public ::testing::TestWithParam<std::string> {};

TEST_P(LinearDesigned, NanAndInfinityStayWhereTheyBelong) {
  constexpr int kSamples = 3, kIn = 18, kOut = 5;
  const DataType type = test::precision_of(GetParam());
  const auto backend = test::make_test_backend(GetParam());
  reference::Draw draw(1);
  reference::Tensor x = draw.tensor(kSamples, kIn, 1, 1), dy = draw.tensor(kSamples, kOut, 1, 1);
  Values weight = draw.normals(kIn * kOut), bias = draw.normals(kOut);
  for (Values* values : {&x.v, &dy.v}) test::round_to(type, *values);
  for (Values* values : {&weight, &bias}) test::round_to_float(*values);
  const auto kind = [](double value) {
    return std::isnan(value) ? "NaN" : std::isinf(value) ? (value > 0 ? "inf" : "-inf") : "finite";
  };
  const auto expect_kinds = [&](const std::vector<float>& actual, const Values& expected, const char* what) {
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_STREQ(kind(static_cast<double>(actual[i])), kind(expected[i])) << what << "[" << i << "]";
  };
  for (Values* values : {&x.v, &dy.v, &weight}) {
    for (std::size_t place = 0; place < values->size(); ++place) {
      for (const double special : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
        const double before = std::exchange((*values)[place], special);
        const test::LayerRun run =
            test::run_layer(backend, std::make_unique<Linear>("fc", kOut), x, dy, {weight, bias});
        const reference::ConvGradients expected = reference::linear_backward(x, weight, dy);
        ASSERT_NO_FATAL_FAILURE(expect_kinds(run.y, reference::linear(x, weight, bias, kOut).v, "y"));
        ASSERT_NO_FATAL_FAILURE(expect_kinds(run.dx, expected.dx.v, "dx"));
        ASSERT_NO_FATAL_FAILURE(expect_kinds(run.gradients[0], expected.dweight, "dweight"));
        ASSERT_NO_FATAL_FAILURE(expect_kinds(run.gradients[1], expected.dbias, "dbias"));
        (*values)[place] = before;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, LinearDesigned,
                         ::testing::Values("cpu_blocked", "cpu_nhwc", "cpu_blocked_bf16", "cpu_nhwc_bf16"),
                         [](const auto& info) { return info.param; });

TEST(Linear, WantsOnePixel) {
  EXPECT_THROW(static_cast<void>(Linear("fc", 10).infer(std::vector<Shape>{{1, 3, 2, 2}})), Error);
}

}  // namespace
}  // namespace normlab
