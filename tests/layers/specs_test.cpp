// Sizes that make no sense are refused where a layer, or a plan without one, is set up: by an error that
// names the layer, the value and what to do.

#include "layers/add.hpp"
#include "layers/batch_norm.hpp"
#include "layers/circular_pad.hpp"
#include "layers/conv2d.hpp"
#include "layers/global_avg_pool.hpp"
#include "layers/group_norm.hpp"
#include "layers/kernels/conv2d.hpp"
#include "layers/kernels/group_norm.hpp"
#include "layers/linear.hpp"
#include "layers/max_pool.hpp"
#include "layers/relu.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "tests/support/emulated_backend.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

/// What `work` throws, or "nothing".
template <typename Work>
std::string refusal(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing";
}

using Make = std::function<std::unique_ptr<Layer>()>;

template <typename L, typename... Args>
Make make(Args... args) {
  return [=] { return std::make_unique<L>("c1", args...); };
}
Make conv2d(int out_channels, int kernel, int stride, int padding) {
  return make<Conv2d>(Conv2d::Options{out_channels, kernel, stride, padding, false});
}
Make group_norm(int groups) {
  return make<GroupNorm>("group_norm", GroupNormSpec{groups, true, false, false});
}

struct Bad {
  Make layer;
  std::vector<Shape> x;
  const char* text;
};

const Shape kSample{1, 6, 5, 4};
const char* const kNoExtent = "an input of 1x6x0x4; samples, channels, rows and columns must be at least 1";

const std::vector<Bad> kBad = {
    {conv2d(0, 3, 1, 1),
     {kSample},
     "c1 (conv2d): a convolution with 0 output channels; it needs at least one"},
    {conv2d(-1, 3, 1, 1), {kSample}, "-1 output channels"},
    {conv2d(4, 0, 1, 1), {kSample}, "c1 (conv2d): a convolution with a 0x0 kernel; choose at least 1x1"},
    {conv2d(4, -3, 1, 1), {kSample}, "-3x-3 kernel"},
    {conv2d(4, 3, 0, 1), {kSample}, "c1 (conv2d): a convolution with stride 0; choose at least 1"},
    {conv2d(4, 3, -1, 1), {kSample}, "stride -1"},
    {conv2d(4, 3, 1, -1), {kSample}, "c1 (conv2d): a convolution with padding -1; choose at least 0"},
    {conv2d(4, 3, 1, 1 << 30), {kSample}, "padding 1073741824 around an input of 5x4; choose less"},
    {conv2d(4, 5, 1, 0), {kSample}, "c1 (conv2d): input 5x4 is smaller than the 5x5 kernel; use fewer pools"},
    {conv2d(4, 3, 1, 1), {{1, 6, 0, 4}}, kNoExtent},
    {group_norm(0), {kSample}, "c1 (group_norm): 0 groups do not divide 6 channels; choose a divisor of 6"},
    {group_norm(-2), {kSample}, "-2 groups do not divide 6 channels"},
    {group_norm(4), {kSample}, "4 groups do not divide 6 channels"},
    {group_norm(1), {{1, 6, 0, 4}}, kNoExtent},
    {make<BatchNorm>(true), {{1, 6, 0, 4}}, kNoExtent},
    {make<MaxPool>(),
     {{1, 6, 1, 4}},
     "c1 (max_pool): a 2x2 pool needs at least 2x2 pixels, got 1x4; use fewer pools or larger images"},
    {make<MaxPool>(), {{1, 6, 0, 4}}, kNoExtent},
    {make<Linear>(0), {{1, 6, 1, 1}}, "c1 (linear): 0 outputs; it needs at least one"},
    {make<Linear>(3), {kSample}, "c1 (linear): wants one pixel, got 5x4; pool first"},
    {make<Linear>(3), {{1, 0, 1, 1}}, "an input of 1x0x1x1"},
    {make<GlobalAvgPool>(), {{1, 6, 0, 4}}, kNoExtent},
    {make<CircularPad>(), {{1, 6, 0, 4}}, kNoExtent},
    {make<Relu>(), {{1, 6, 0, 4}}, kNoExtent},
    {make<Relu>(), {{0, 6, 5, 4}}, "an input of 0x6x5x4"},
    {make<Relu>(), {kSample, kSample}, "c1 (relu): takes 1 input, got 2"},
    {make<Add>(), {kSample}, "c1 (add): takes 2 inputs, got 1"},
    {make<Add>(),
     {kSample, {1, 6, 4, 5}},
     "c1 (add): the two branches must have one shape, got 1x6x5x4 and 1x6x4x5"},
    {[] { return std::make_unique<SoftmaxCrossEntropyLoss>(1.0F); },
     {{1, 6, 1, 1}},
     "loss (softmax_cross_entropy): label smoothing 1; choose at least 0 and less than 1"},
    {[] { return std::make_unique<SoftmaxCrossEntropyLoss>(std::nanf("")); },
     {{1, 6, 1, 1}},
     "smoothing nan"},
    {[] { return std::make_unique<SoftmaxCrossEntropyLoss>(); }, {kSample}, "wants one pixel, got 5x4"},
};

TEST(Specs, ALayerRefusesWhatItCannotCompute) {
  for (const Bad& bad : kBad) {
    const std::string text = refusal([&] { (void)bad.layer()->infer(bad.x); });
    EXPECT_NE(text.find(bad.text), std::string::npos) << text << "\nshould say: " << bad.text;
  }
}

class SpecsOnBackends : public ::testing::TestWithParam<std::string> {};

// As the first layer of a graph.
TEST_P(SpecsOnBackends, AGraphRefusesThemWhenItIsSetUp) {
  const auto backend = test::make_test_backend(GetParam());
  for (const Bad& bad : kBad) {
    if (bad.x.size() > 1 || bad.x[0].n != 1) continue;
    Graph graph(*backend, bad.x[0]);
    std::unique_ptr<Layer> layer = bad.layer();
    if (layer->is_loss()) {
      graph.add(std::move(layer), graph.input());
    } else {
      graph.add(std::make_unique<ProbeLoss>(), graph.add(std::move(layer), graph.input()));
    }
    const std::string text = refusal([&] { graph.setup({}); });
    EXPECT_NE(text.find(bad.text), std::string::npos) << text << "\nshould say: " << bad.text;
  }
}

TEST_P(SpecsOnBackends, ABackendMakesNoPlanForABadConvolution) {
  const auto backend = test::make_test_backend(GetParam());
  const Conv2dSpec good{.x = {1, 6, 5, 4}, .out_channels = 4};
  const auto changed = [&](auto change) {
    Conv2dSpec spec = good;
    change(spec);
    return refusal([&] { (void)backend->get<Conv2dKernels>().plan(spec); });
  };
  EXPECT_EQ(changed([](Conv2dSpec&) {}), "nothing");
  EXPECT_EQ(changed([](Conv2dSpec& s) { s.stride = 0; }), "a convolution with stride 0; choose at least 1");
  EXPECT_EQ(changed([](Conv2dSpec& s) { s.kernel = 0; }),
            "a convolution with a 0x0 kernel; choose at least 1x1");
  EXPECT_EQ(changed([](Conv2dSpec& s) { s.padding = -1; }),
            "a convolution with padding -1; choose at least 0");
  EXPECT_EQ(changed([](Conv2dSpec& s) { s.out_channels = 0; }),
            "a convolution with 0 output channels; it needs at least one");
  EXPECT_EQ(changed([](Conv2dSpec& s) { s.x.n = 0; }),
            "a convolution of an input of 0x6x5x4; samples, channels, rows and columns must be at least 1");
  EXPECT_EQ(changed([](Conv2dSpec& s) {
              s.padding = 0;
              s.x.w = 2;
            }),
            "input 5x2 is smaller than the 3x3 kernel; use fewer pools or larger images");
}

TEST_P(SpecsOnBackends, ABackendComputesNoGroupNormOfBadGroups) {
  const auto backend = test::make_test_backend(GetParam());
  const Shape x{2, 6, 3, 3};
  const Buffer values(*backend, backend->bytes(x, backend.precision, Layout::native)),
      affine(*backend, 2 * 6 * sizeof(float)), statistics(*backend, 12 * sizeof(Statistics));
  const Tensor tensor{values.data(), x, backend.precision};
  auto* found = reinterpret_cast<Statistics*>(statistics.data());
  for (const int groups : {0, -1, 4}) {
    const GroupNormSpec spec{groups, true, false, false};
    const std::string expected =
        fmt::format("{} groups do not divide 6 channels; choose a divisor of 6", groups);
    EXPECT_EQ(refusal([&] { backend->get<GroupNormKernels>().check(spec, x, backend.precision); }), expected);
    EXPECT_EQ(refusal([&] {
                backend->get<GroupNormKernels>().forward(
                    {spec, tensor, affine.floats(), affine.floats() + 6, tensor, found});
              }),
              expected);
    EXPECT_EQ(refusal([&] {
                backend->get<GroupNormKernels>().backward({spec, tensor, found, affine.floats(),
                                                           affine.floats() + 6, tensor, tensor,
                                                           affine.floats(), affine.floats() + 6});
              }),
              expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SpecsOnBackends, ::testing::ValuesIn(test::backend_names()),
                         [](const auto& info) { return info.param; });

// The GPU's blocks take groups of 8 KiB a pixel at most: layers say so before anything runs.
TEST(Specs, AGroupWiderThanABlockIsRefusedAtSetup) {
  const auto backend = test::make_emulated_backend();
  Graph graph(*backend, {1, 2056, 1, 1});
  graph.add(std::make_unique<ProbeLoss>(),
            graph.add(std::make_unique<GroupNorm>("c1.norm", "layer_norm", GroupNormSpec{}), graph.input()));
  const std::string text = refusal([&] { graph.setup({}); });
  EXPECT_EQ(
      text,
      "c1.norm (layer_norm): a normalization group of 2056 channels; the GPU takes at most 2048 in fp32");
}

}  // namespace
}  // namespace normlab
