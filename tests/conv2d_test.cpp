// Convolution against the reference. Tolerance: 1e-5 of sum |a_i b_i|, which the reference computes from the
// absolute values; 5e-5 above 10,000 terms.

#include "layers/conv2d.hpp"

#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Values;

class Conv2dShapes : public ::testing::TestWithParam<testing::BackendAndDraw> {};

TEST_P(Conv2dShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const bool pointwise = draw.integer(0, 2) == 0;
  const int kernel = pointwise ? 1 : 3;
  const int padding = pointwise ? 0 : draw.integer(0, 1);
  const int stride = draw.integer(0, 4) == 0 ? 2 : 1;
  const int smallest = padding == 1 || pointwise ? 1 : 3;
  const int n = draw.integer(0, 3) == 0 ? 1 : draw.integer(2, 7);
  const int c = draw.integer(0, 1) == 0 ? draw.integer(1, 5) : draw.integer(6, 40);
  const int out = draw.integer(0, 1) == 0 ? 16 * draw.integer(1, 2) : draw.integer(1, 40);
  const int h = draw.integer(smallest, 12), w = draw.integer(smallest, 12);
  const bool bias = draw.integer(0, 1) == 0;
  SCOPED_TRACE(fmt::format("n {} c {} h {} w {} out {} kernel {} padding {} stride {} bias {}", n, c, h, w,
                           out, kernel, padding, stride, bias));

  reference::Tensor x = draw.tensor(n, c, h, w, draw.integer(0, 4) == 0 ? 1e4 : 0.3);
  Values weight = draw.normals(static_cast<std::size_t>(out * c * kernel * kernel));
  Values offset = bias ? draw.normals(static_cast<std::size_t>(out)) : Values();
  testing::round_to_float(x.v);
  testing::round_to_float(weight);
  testing::round_to_float(offset);
  const reference::Conv conv{kernel, stride, padding};
  const reference::Tensor y = reference::conv2d(x, weight, offset, out, conv);
  reference::Tensor dy = draw.tensor(n, out, y.h, y.w);
  testing::round_to_float(dy.v);
  const reference::ConvGradients expected = reference::conv2d_backward(x, weight, dy, conv);

  const std::unique_ptr<Backend> backend = testing::make_test_backend(backend_name, 1 + seed % 2);
  std::vector<Values> parameters{weight};
  if (bias) parameters.push_back(offset);
  const testing::LayerRun run = testing::run_layer(
      *backend, std::make_unique<Conv2d>("conv", Conv2d::Options{out, kernel, stride, padding, bias}), x, dy,
      parameters, draw.integer(1, 5));

  const Values weight_size = reference::absolute(weight), offset_size = reference::absolute(offset);
  const double by_terms = n * y.h * y.w > 10000 ? 5e-5 : 1e-5;
  testing::expect_within(
      run.y, y.v,
      testing::scaled(reference::conv2d(absolute(x), weight_size, offset_size, out, conv).v, 1e-5), "y");
  const reference::ConvGradients size =
      reference::conv2d_backward(absolute(x), weight_size, absolute(dy), conv);
  testing::expect_within(run.dx, expected.dx.v, testing::scaled(size.dx.v, 1e-5), "dx");
  testing::expect_within(run.gradients[0], expected.dweight, testing::scaled(size.dweight, by_terms),
                         "dweight");
  if (bias)
    testing::expect_within(run.gradients[1], expected.dbias, testing::scaled(size.dbias, by_terms), "dbias");
}

INSTANTIATE_TEST_SUITE_P(Random, Conv2dShapes,
                         ::testing::Combine(::testing::ValuesIn(testing::backend_names()),
                                            ::testing::Range(0, 200)),
                         testing::name_of);

TEST(Conv2d, RefusesAnImageSmallerThanItsKernel) {
  const std::unique_ptr<Backend> backend = testing::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, 3, 2, 2});
  graph.add(std::make_unique<ProbeLoss>(),
            graph.add(std::make_unique<Conv2d>("c1.conv", Conv2d::Options{4, 3, 1, 0, false}), 0));
  EXPECT_THROW(graph.setup({}), Error);
}

}  // namespace
}  // namespace normlab
