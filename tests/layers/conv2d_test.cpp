// Convolution against the reference; how near it has to be stands in tests/support/conv_tolerance.hpp. In
// bf16 the inputs and weights of both are rounded to it, sums are fp32, and gradients of weights and biases
// are never rounded; on a GPU biases and gradients of weights are rounded, too.

#include "layers/conv2d.hpp"
#include "layers/kernels/conv2d.hpp"

#include "layers/softmax_cross_entropy.hpp"
#include "tests/support/conv_plan.hpp"
#include "tests/support/conv_tolerance.hpp"
#include "tests/support/emulated_backend.hpp"

namespace normlab {
namespace {

using reference::Values;
using test::PlanRun;
using test::run_plan;

class Conv2dShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(Conv2dShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
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
  test::round_to(type, x.v);
  test::round_to(type, weight);
  test::round_to(test::bias_type(backend_name), offset);
  const reference::Conv conv{kernel, stride, padding};
  const reference::Tensor y = reference::conv2d(x, weight, offset, out, conv);
  reference::Tensor dy = draw.tensor(n, out, y.h, y.w);
  test::round_to(type, dy.v);
  const reference::ConvGradients expected = reference::conv2d_backward(x, weight, dy, conv);

  const auto backend = test::make_test_backend(backend_name, 1 + seed % 2);
  if (const std::string missing = backend->why_not(type); !missing.empty()) GTEST_SKIP() << missing;
  std::vector<Values> parameters{weight};
  if (bias) parameters.push_back(offset);
  const test::LayerRun run = test::run_layer(
      backend, std::make_unique<Conv2d>("conv", Conv2d::Options{out, kernel, stride, padding, bias}), x, dy,
      parameters, test::has_part(backend_name, "cuda") ? 0 : draw.integer(1, 5));  // a GPU has one shard

  const Values weight_size = reference::absolute(weight), offset_size = reference::absolute(offset);
  const double by_terms = n * y.h * y.w > 10000 ? 5e-5 : 1e-5;
  const Values y_size =
      test::conv_tolerance(reference::conv2d(absolute(x), weight_size, offset_size, out, conv));
  test::expect_within(run.y, y.v, test::stored(type, y.v, y_size), "y");
  const reference::ConvGradients size =
      reference::conv2d_backward(absolute(x), weight_size, absolute(dy), conv);
  test::expect_within(run.dx, expected.dx.v, test::stored(type, expected.dx.v, test::conv_tolerance(size.dx)),
                      "dx");
  test::expect_within(run.gradients[0], expected.dweight,
                      test::conv_gradient(backend_name, expected.dweight,
                                          test::tap_tolerance(size.dweight, kernel * kernel, by_terms)),
                      "dweight");
  if (bias)
    test::expect_within(run.gradients[1], expected.dbias, test::scaled(size.dbias, by_terms), "dbias");
}

INSTANTIATE_TEST_SUITE_P(Random, Conv2dShapes, ::testing::ValuesIn(test::draws(200)), test::name_of);

class GradientSum : public ::testing::TestWithParam<std::string> {};

TEST_P(GradientSum, AccumulatesOverCalls) {
  const DataType type = test::precision_of(GetParam());
  const auto backend = test::make_test_backend(GetParam());
  if (const std::string missing = backend->why_not(type); !missing.empty()) GTEST_SKIP() << missing;
  struct Case {
    int c, kernel, stride;
    Layout layout;
  };
  for (const auto& [c, kernel, stride, layout] :
       {Case{20, 3, 1, Layout::native}, Case{20, 1, 1, Layout::native}, Case{20, 3, 2, Layout::native},
        Case{3, 3, 1, Layout::image}}) {
    SCOPED_TRACE(fmt::format("c {} kernel {} stride {}", c, kernel, stride));
    const int padding = kernel / 2, out = 24;
    reference::Draw draw(7);
    const Conv2dSpec spec{.x = {2, c, 9, 8},
                          .out_channels = out,
                          .kernel = kernel,
                          .stride = stride,
                          .padding = padding,
                          .bias = true,
                          .x_layout = layout,
                          .needs_dx = layout == Layout::native,
                          .type = type};
    const reference::Tensor x = draw.tensor(2, c, 9, 8), dy = draw.tensor(2, out, spec.y().h, spec.y().w);
    const Values weight = draw.normals(static_cast<std::size_t>(out * c * kernel * kernel));
    const Values offset = draw.normals(static_cast<std::size_t>(out));
    const PlanRun once = run_plan(*backend, spec, x, weight, offset, dy, 1);
    const PlanRun thrice = run_plan(*backend, spec, x, weight, offset, dy, 3);
    const auto expect_three_times = [](const std::vector<float>& sum, const std::vector<float>& term) {
      for (std::size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(sum[i], 3 * term[i], 1e-3);
    };
    expect_three_times(thrice.dweight, once.dweight);
    expect_three_times(thrice.dbias, once.dbias);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, GradientSum, ::testing::ValuesIn(test::backend_names()),
                         [](const auto& info) { return info.param; });

/// The first layer's own kernel reads images, whose gradient nobody wants.
class ImageConv2d : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(ImageConv2d, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  const int n = draw.integer(1, 3), c = draw.integer(1, 4), h = draw.integer(3, 36), w = draw.integer(3, 36);
  const int out = draw.integer(1, 40), padding = draw.integer(0, 1);
  const bool bias = draw.integer(0, 1) == 0;
  SCOPED_TRACE(fmt::format("n {} c {} h {} w {} out {} padding {} bias {}", n, c, h, w, out, padding, bias));
  reference::Tensor x = draw.tensor(n, c, h, w, 0.3);
  Values weight = draw.normals(static_cast<std::size_t>(out * c * 9));
  Values offset = bias ? draw.normals(static_cast<std::size_t>(out)) : Values();
  test::round_to(type, x.v);
  test::round_to(type, weight);
  test::round_to(test::bias_type(backend_name), offset);
  const reference::Conv conv{3, 1, padding};
  const reference::Tensor y = reference::conv2d(x, weight, offset, out, conv);
  reference::Tensor dy = draw.tensor(n, out, y.h, y.w);
  test::round_to(type, dy.v);

  const auto backend = test::make_test_backend(backend_name);
  if (const std::string missing = backend->why_not(type); !missing.empty()) GTEST_SKIP() << missing;
  const PlanRun run = run_plan(*backend,
                               {.x = {n, c, h, w},
                                .out_channels = out,
                                .padding = padding,
                                .bias = bias,
                                .x_layout = Layout::image,
                                .needs_dx = false,
                                .type = type},
                               x, weight, offset, dy, 1);

  const Values weight_size = reference::absolute(weight);
  const Values y_size = reference::conv2d(absolute(x), weight_size, reference::absolute(offset), out, conv).v;
  test::expect_within(run.y, y.v, test::stored(type, y.v, test::scaled(y_size, 1e-5)), "y");
  const reference::ConvGradients expected = reference::conv2d_backward(x, weight, dy, conv);
  const reference::ConvGradients size =
      reference::conv2d_backward(absolute(x), weight_size, absolute(dy), conv);
  test::expect_within(run.dweight, expected.dweight,
                      test::conv_gradient(backend_name, expected.dweight, test::scaled(size.dweight, 1e-5)),
                      "dweight");
  if (bias) test::expect_within(run.dbias, expected.dbias, test::scaled(size.dbias, 1e-5), "dbias");
}

INSTANTIATE_TEST_SUITE_P(Random, ImageConv2d, ::testing::ValuesIn(test::draws(40)), test::name_of);

/// What a plan chose stands in a run's configuration, and the run goes on with it.
TEST(Conv2d, AlgorithmsAreRecordedAndGivenBack) {
  const Conv2dSpec spec{.x = {4, 16, 8, 8}, .out_channels = 8};
  const auto first = test::make_emulated_backend();
  EXPECT_EQ(first->choices(), "");
  (void)first->get<Conv2dKernels>().plan(spec);
  EXPECT_EQ(first->choices(), "16x8x8-8k3s1p1 1/1/1");
  (void)first->get<Conv2dKernels>().plan(
      {.x = {4, 3, 8, 8}, .out_channels = 8, .x_layout = Layout::image, .needs_dx = false});
  EXPECT_EQ(first->choices(), "16x8x8-8k3s1p1 1/1/1; 3x8x8-8k3s1p1-first 1/1/1");

  const std::string other = "16x8x8-8k3s1p1 0/1/1";
  const auto resumed = test::make_emulated_backend({false, false, other});
  (void)resumed->get<Conv2dKernels>().plan(spec);
  EXPECT_EQ(resumed->choices(), other);
  for (const char* bad : {"0/0/1", "1/1/0", "6/1/1", "one"}) {  // not deterministic, not there, not a choice
    const auto wrong = test::make_emulated_backend({false, false, std::string("16x8x8-8k3s1p1 ") + bad});
    try {
      (void)wrong->get<Conv2dKernels>().plan(spec);
      ADD_FAILURE() << bad << " was taken";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("16x8x8-8k3s1p1"), std::string::npos) << error.what();
    }
  }
}

TEST(Conv2d, RefusesAnImageSmallerThanItsKernel) {
  const auto backend = test::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, 3, 2, 2});
  graph.add(std::make_unique<ProbeLoss>(),
            graph.add(std::make_unique<Conv2d>("c1.conv", Conv2d::Options{4, 3, 1, 0, false}), 0));
  EXPECT_THROW(graph.setup({}), Error);
}

}  // namespace
}  // namespace normlab
