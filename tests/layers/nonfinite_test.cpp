// NaN and infinity pass through every operation, forward and backward, as they do in PyTorch: where the
// reference has NaN so has the product, where it has an infinity so has the product, and what does not depend
// on the poisoned value keeps its bits. Convolutions have theirs in conv2d_test.cpp.

#include <algorithm>
#include <limits>

#include "layers/add.hpp"
#include "layers/batch_norm.hpp"
#include "layers/circular_pad.hpp"
#include "layers/global_avg_pool.hpp"
#include "layers/group_norm.hpp"
#include "layers/kernels/add.hpp"
#include "layers/kernels/optimizer.hpp"
#include "layers/kernels/softmax_cross_entropy.hpp"
#include "layers/linear.hpp"
#include "layers/max_pool.hpp"
#include "layers/relu.hpp"
#include "tests/reference/norms.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Values;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kPoisons[] = {kNan, kInfinity, -kInfinity};

/// A value's kind: NaN, an infinity of either sign, or finite.
int kind(double value) {
  return std::isnan(value) ? 2 : std::isinf(value) ? (value > 0 ? 1 : -1) : 0;
}

void expect_kinds(const std::vector<float>& actual, const Values& expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(kind(static_cast<double>(actual[i])), kind(expected[i]))
        << what << "[" << i << "] is " << actual[i] << ", the reference says " << expected[i];
  }
}

/// Every value as expected, to the bit where it is finite.
void expect_values(const std::vector<float>& actual, const Values& expected, const std::string& what) {
  expect_kinds(actual, expected, what);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (kind(expected[i]) != 0) continue;
    ASSERT_EQ(static_cast<double>(actual[i]), expected[i]) << what << "[" << i << "]";
  }
}

class Nonfinite : public ::testing::TestWithParam<std::string> {};

/// NaN, both infinities, zeros and finite values in turn, in every channel.
reference::Tensor mixture(int n, int c, int h, int w) {
  constexpr double kValues[] = {kNan, 1, kInfinity, -2, -kInfinity, 0, 3};
  reference::Tensor x(n, c, h, w);
  for (std::size_t i = 0; i < x.size(); ++i) x.v[i] = kValues[i % std::size(kValues)];
  return x;
}

TEST_P(Nonfinite, Relu) {
  const reference::Tensor x = mixture(2, 23, 3, 5);
  reference::Tensor dy = mixture(2, 23, 3, 5);
  std::rotate(dy.v.begin(), dy.v.begin() + 3, dy.v.end());  // each kind meets several
  const auto backend = test::make_test_backend(GetParam());
  const test::LayerRun run = test::run_layer(backend, std::make_unique<Relu>("relu"), x, dy, {});
  expect_values(run.y, reference::relu(x).v, "y");
  expect_values(run.dx, reference::relu_backward(reference::relu_mask(x), dy).v, "dx");
}

/// Every window of four of NaN, the infinities and two numbers: all 625.
TEST_P(Nonfinite, MaxPool) {
  constexpr double kValues[] = {kNan, kInfinity, -kInfinity, 1, 2};
  reference::Tensor x(1, 25, 10, 10), dy(1, 25, 5, 5);
  reference::for_each(dy, [&](int, int c, int h, int w, std::size_t i) {
    const int code = c * 25 + h * 5 + w;
    x.at(0, c, 2 * h, 2 * w) = kValues[code % 5];
    x.at(0, c, 2 * h, 2 * w + 1) = kValues[code / 5 % 5];
    x.at(0, c, 2 * h + 1, 2 * w) = kValues[code / 25 % 5];
    x.at(0, c, 2 * h + 1, 2 * w + 1) = kValues[code / 125];
    dy.v[i] = i % 7 == 3 ? kPoisons[i % 3] : static_cast<double>(i % 50 + 1);
  });
  const reference::Choices choices = reference::max_pool_choices(x);
  const auto backend = test::make_test_backend(GetParam());
  const test::LayerRun run = test::run_layer(backend, std::make_unique<MaxPool>("p1"), x, dy, {});
  expect_values(run.y, reference::max_pool(x, choices).v, "y");
  expect_values(run.dx, reference::max_pool_backward(x, choices, dy).v, "dx");
}

/// One poisoned value in each map, at each place in turn, and maps without.
TEST_P(Nonfinite, GlobalAvgPool) {
  reference::Draw draw(1);
  reference::Tensor x = draw.tensor(2, 23, 3, 3), dy = draw.tensor(2, 23, 1, 1);
  for (int n = 0; n < 2; ++n) {
    for (int c = 0; c < 23; ++c) {
      if (c % 4 != 3) x.at(n, c, c % 9 / 3, c % 3) = kPoisons[(n + c) % 3];
      if (c % 5 == 0) dy.at(n, c, 0, 0) = kPoisons[c % 3];
    }
  }
  const auto backend = test::make_test_backend(GetParam());
  const test::LayerRun run = test::run_layer(backend, std::make_unique<GlobalAvgPool>("gap"), x, dy, {});
  expect_kinds(run.y, reference::global_average_pool(x).v, "y");
  expect_kinds(run.dx, reference::global_average_pool_backward(x, dy).v, "dx");
}

TEST_P(Nonfinite, CircularPad) {
  const reference::Tensor x = mixture(2, 19, 3, 4), dy = mixture(2, 19, 5, 6);
  const auto backend = test::make_test_backend(GetParam());
  const test::LayerRun run = test::run_layer(backend, std::make_unique<CircularPad>("pad"), x, dy, {});
  expect_values(run.y, reference::wrap(x).v, "y");
  expect_values(run.dx, reference::wrap_backward(dy).v, "dx");
}

TEST_P(Nonfinite, Add) {
  const auto backend = test::make_test_backend(GetParam());
  const reference::Tensor a = mixture(1, 23, 3, 5);
  reference::Tensor b = a;
  std::rotate(b.v.begin(), b.v.begin() + 2, b.v.end());
  const Shape shape{1, 23, 3, 5};
  const std::size_t bytes = backend->bytes(shape, backend.precision, Layout::native);
  Buffer of_a(*backend, bytes), of_b(*backend, bytes);
  const Tensor left{of_a.data(), shape, backend.precision, Layout::native},
      right{of_b.data(), shape, backend.precision, Layout::native};
  backend->upload(test::floats(a.v).data(), left);
  backend->upload(test::floats(b.v).data(), right);
  backend->get<AddKernels>().forward(left, right, left);
  std::vector<float> sum(a.size());
  backend->download(left, sum.data());
  expect_values(sum, reference::add(a, b).v, "sum");
}

/// The poison in x, in the weights, in the bias and in dy.
TEST_P(Nonfinite, Linear) {
  reference::Draw draw(2);
  for (int place = 0; place < 4; ++place) {
    for (const double poison : kPoisons) {
      reference::Tensor x = draw.tensor(3, 21, 1, 1), dy = draw.tensor(3, 19, 1, 1);
      Values weight = draw.normals(21 * 19), bias = draw.normals(19);
      (place == 0 ? x.v[20] : place == 1 ? weight[21 * 18] : place == 2 ? bias[17] : dy.v[19]) = poison;
      const auto backend = test::make_test_backend(GetParam());
      const test::LayerRun run =
          test::run_layer(backend, std::make_unique<Linear>("linear", 19), x, dy, {weight, bias});
      const reference::ConvGradients gradients = reference::linear_backward(x, weight, dy);
      SCOPED_TRACE(fmt::format("poison {} at {}", poison, place));
      expect_kinds(run.y, reference::linear(x, weight, bias, 19).v, "y");
      expect_kinds(run.dx, gradients.dx.v, "dx");
      expect_kinds(run.gradients[0], gradients.dweight, "dweight");
      expect_kinds(run.gradients[1], gradients.dbias, "dbias");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Nonfinite, ::testing::ValuesIn(test::backend_names()),
                         [](const auto& info) { return info.param; });

// --- norms -------------------------------------------------------------------------------------------------

/// (backend, norm, activation)
class NonfiniteNorms : public ::testing::TestWithParam<std::tuple<std::string, std::string, bool>> {};

struct NormCase {
  reference::Norm norm;
  bool relu = false;
  reference::Tensor x, dy;
  Values gamma, beta;

  [[nodiscard]] std::vector<Values> parameters() const {
    return norm.has_beta() ? std::vector<Values>{gamma, beta} : std::vector<Values>{gamma};
  }
  [[nodiscard]] std::unique_ptr<Layer> layer() const {
    using Kind = reference::Norm::Kind;
    if (norm.kind == Kind::bn) return std::make_unique<BatchNorm>("norm", relu);
    const int groups = norm.kind == Kind::gn ? norm.groups : norm.kind == Kind::in ? x.c : 1;
    return std::make_unique<GroupNorm>(
        "norm", "norm", GroupNormSpec{groups, norm.centred(), norm.affine_count(2, 2, 2) == 8, relu});
  }
};

/// What must not change, to the bit: the values where the reference's own did not.
void expect_elsewhere(const std::vector<float>& actual, const std::vector<float>& before,
                      const Values& expected, const Values& clean, const std::string& what) {
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (expected[i] != clean[i]) continue;
    ASSERT_EQ(actual[i], before[i]) << what << "[" << i << "]";
  }
}

struct NormResults {
  Values y, dx, dgamma, dbeta;

  explicit NormResults(const NormCase& k) {
    const reference::NormReluForward forward = reference::norm_relu_forward(k.norm, k.x, k.gamma, k.beta);
    const reference::NormForward& norm = forward.norm;
    reference::NormGradients gradients = k.relu
                                             ? reference::norm_relu_backward(k.norm, forward, k.gamma, k.dy)
                                             : reference::norm_backward(k.norm, norm, k.gamma, k.dy);
    y = k.relu ? forward.y.v : norm.y.v;
    dx = std::move(gradients.dx.v);
    dgamma = std::move(gradients.dgamma);
    dbeta = std::move(gradients.dbeta);
  }
};

/// One value of x, then one of dy: in the channels at the ends of groups, vectors and blocks, at the first
/// and the last pixel, in each sample.
TEST_P(NonfiniteNorms, OneValuePoisonsWhatDependsOnIt) {
  const auto& [backend_name, norm_name, relu] = GetParam();
  reference::Draw draw(3);
  NormCase clean;
  clean.norm = reference::Norm::parse(norm_name);
  clean.relu = relu;
  const int c = 24, h = 3, w = 5;
  do {  // no value on the ReLU's kink
    clean.x = draw.tensor(3, c, h, w, 0.3);
    clean.gamma = draw.gammas(clean.norm.affine_count(c, h, w));
    clean.beta = clean.norm.has_beta() ? draw.normals(clean.gamma.size()) : Values();
    for (Values* values : {&clean.gamma, &clean.beta}) test::round_to_float(*values);
    test::round_to(test::precision_of(backend_name), clean.x.v);
  } while (reference::relu_kink_distance(
               reference::norm_forward(clean.norm, clean.x, clean.gamma, clean.beta).y) < 2e-5);
  clean.dy = draw.tensor(3, c, h, w, 0.2);
  test::round_to(test::precision_of(backend_name), clean.dy.v);
  const auto backend = test::make_test_backend(backend_name);
  const NormResults before(clean);
  const auto run = [&](const NormCase& k) {
    return test::run_layer(backend, k.layer(), k.x, k.dy, k.parameters(), 2);
  };
  const test::LayerRun run_before = run(clean);
  for (const bool in_x : {true, false}) {
    for (const int channel : {0, 5, 6, 7, 8, 15, 16, 23}) {
      for (int place = 0; place < 3; ++place) {
        NormCase k = clean;
        reference::Tensor& poisoned = in_x ? k.x : k.dy;
        const double poison = kPoisons[(channel + place) % 3];
        poisoned.at(place, channel, place == 0 ? 0 : h - 1, place == 0 ? 0 : w - 1) = poison;
        SCOPED_TRACE(
            fmt::format("{} in {} of sample {}, channel {}", poison, in_x ? "x" : "dy", place, channel));
        const NormResults expected(k);
        const test::LayerRun after = run(k);
        expect_kinds(after.y, expected.y, "y");
        expect_kinds(after.dx, expected.dx, "dx");
        expect_kinds(after.gradients[0], expected.dgamma, "dgamma");
        if (k.norm.has_beta()) expect_kinds(after.gradients[1], expected.dbeta, "dbeta");
        expect_elsewhere(after.y, run_before.y, expected.y, before.y, "y");
        expect_elsewhere(after.dx, run_before.dx, expected.dx, before.dx, "dx");
        expect_elsewhere(after.gradients[0], run_before.gradients[0], expected.dgamma, before.dgamma,
                         "dgamma");
        for (std::size_t i = 0; i < after.states.size(); ++i) {  // running mean and variance
          for (std::size_t s = 0; s < after.states[i].size() && after.states[i].size() > 1; ++s) {
            const bool is_poisoned = in_x && static_cast<int>(s) == channel;
            ASSERT_EQ(std::isfinite(after.states[i][s]), !is_poisoned)
                << "state " << i << " of channel " << s;
            if (!is_poisoned) {
              ASSERT_EQ(after.states[i][s], run_before.states[i][s]);
            }
          }
        }
        if (HasFatalFailure()) return;
      }
    }
  }
}

std::vector<std::string> norm_backends() {
  std::vector<std::string> names = test::backend_names();
  std::erase_if(names, [](const std::string& name) { return test::has_part(name, "library"); });
  return names;
}

INSTANTIATE_TEST_SUITE_P(Backends, NonfiniteNorms,
                         ::testing::Combine(::testing::ValuesIn(norm_backends()),
                                            ::testing::Values("bn", "ln", "gn:4", "in", "rms",
                                                              "ln-elementwise"),
                                            ::testing::Bool()),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param)) +
                                  (std::get<2>(info.param) ? "_relu" : "");
                         });

// --- loss --------------------------------------------------------------------------------------------------

/// (backend, smoothing)
class NonfiniteLogits : public ::testing::TestWithParam<std::tuple<std::string, float>> {};

/// Each class of a sample poisoned in turn, the label at it and elsewhere; two at once; all.
TEST_P(NonfiniteLogits, AsTheReference) {
  const auto& [backend_name, smoothing] = GetParam();
  const auto backend = test::make_test_backend(backend_name);
  reference::Draw draw(5);
  for (const int classes : {2, 10, 40}) {
    for (const double poison : kPoisons) {
      reference::Tensor x = draw.tensor(2 * classes + 3, classes, 1, 1);
      std::vector<std::int32_t> labels;
      for (int n = 0; n < x.n; ++n) {
        labels.push_back(n < classes ? n : (n + 1) % classes);
        if (n < 2 * classes) x.at(n, n % classes, 0, 0) = poison;
      }
      for (int c = 0; c < classes; ++c) x.at(2 * classes, c, 0, 0) = poison;
      x.at(2 * classes + 1, 0, 0, 0) = x.at(2 * classes + 1, classes - 1, 0, 0) = poison;
      test::round_to(backend.precision, x.v);

      const Shape shape{x.n, classes, 1, 1};
      const std::size_t bytes = backend->bytes(shape, backend.precision, Layout::native);
      Buffer logits(*backend, bytes), dlogits(*backend, bytes);
      const Tensor from{logits.data(), shape, backend.precision, Layout::native},
          to{dlogits.data(), shape, backend.precision, Layout::native};
      backend->upload(test::floats(x.v).data(), from);
      const auto count = static_cast<std::size_t>(x.n);
      const test::DeviceArray<std::int32_t> targets(*backend, labels), predicted(*backend, count);
      const test::DeviceArray<float> loss(*backend, count), confidence(*backend, count);
      SoftmaxCrossEntropy args;
      args.logits = from;
      args.labels = targets.data();
      args.label_smoothing = smoothing;
      args.dlogits = to;
      args.loss = loss.data();
      args.predicted = predicted.data();
      args.confidence = confidence.data();
      backend->get<SoftmaxCrossEntropyKernels>().forward(args);
      std::vector<float> gradient(x.size());
      backend->download(to, gradient.data());
      for (int n = 0; n < x.n; ++n) {
        const auto at = static_cast<std::size_t>(n);
        const auto first = static_cast<std::ptrdiff_t>(x.index(n, 0, 0, 0));
        const reference::Tensor row(1, classes, 1, 1,
                                    Values(x.v.begin() + first, x.v.begin() + first + classes));
        const reference::Loss expected =
            reference::softmax_cross_entropy(row, {labels[at]}, static_cast<double>(smoothing));
        SCOPED_TRACE(fmt::format("{} classes, poison {}, sample {}", classes, poison, n));
        expect_kinds({loss.read()[at]}, {expected.loss}, "loss");
        expect_kinds({gradient.begin() + first, gradient.begin() + first + classes}, expected.dlogits.v,
                     "dlogits");
        EXPECT_EQ(predicted.read()[at] == labels[at], expected.correct == 1);
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, NonfiniteLogits,
                         ::testing::Combine(::testing::ValuesIn(test::backend_names()),
                                            ::testing::Values(0.0F, 0.1F)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + (std::get<1>(info.param) > 0 ? "_smoothed" : "");
                         });

// --- optimizer ---------------------------------------------------------------------------------------------

/// (backend, clipped)
class NonfiniteGradients : public ::testing::TestWithParam<std::tuple<std::string, bool>> {};

/// With clipping, torch.nn.utils.clip_grad_norm_ scales by clip / (norm + 1e-6), at most 1: of a NaN norm
/// that is NaN, of an infinite one 0.
TEST_P(NonfiniteGradients, ReachTheParameters) {
  const auto& [backend_name, clipped] = GetParam();
  const auto backend = test::make_test_backend(backend_name);
  for (const double poison : kPoisons) {
    const std::vector<float> g{1, static_cast<float>(poison), -2}, w{1, 2, 3}, zeros(3);
    const bool all = clipped && std::isnan(poison);
    const test::DeviceArray<float> gradient(*backend, g);
    const test::DeviceArray<double> squares(*backend, 1);
    backend->get<OptimizerKernels>().sum_of_squares(gradient.data(), 3, squares.data());
    const test::DeviceArray<StepRates> rates(
        *backend, std::vector<StepRates>{
                      {.lr = 0.1F, .momentum = 0.9F, .keep = 0, .step_size = 0.1F, .second_scale = 1}});
    const test::DeviceArray<float> by_sgd(*backend, w), velocity(*backend, zeros), by_adamw(*backend, w),
        first(*backend, zeros), second(*backend, zeros);
    SgdStep sgd;
    sgd.w = by_sgd.data();
    sgd.g = gradient.data();
    sgd.v = velocity.data();
    sgd.count = 3;
    sgd.rates = rates.data();
    sgd.squared_norm = squares.data();
    sgd.clip = clipped ? 1 : 0;
    backend->get<OptimizerKernels>().sgd(sgd);
    AdamWStep adamw;
    adamw.w = by_adamw.data();
    adamw.g = gradient.data();
    adamw.m = first.data();
    adamw.v = second.data();
    adamw.count = 3;
    adamw.rates = rates.data();
    adamw.squared_norm = squares.data();
    adamw.clip = clipped ? 1 : 0;
    backend->get<OptimizerKernels>().adamw(adamw);
    for (const std::vector<float>& after : {by_sgd.read(), by_adamw.read()}) {
      SCOPED_TRACE(fmt::format("gradient {}: {}, {}, {}", poison, after[0], after[1], after[2]));
      EXPECT_FALSE(std::isfinite(after[1]));
      EXPECT_EQ(std::isfinite(after[0]), !all);
      EXPECT_EQ(std::isfinite(after[2]), !all);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, NonfiniteGradients,
                         ::testing::Combine(::testing::ValuesIn(test::backend_names(DataType::f32)),
                                            ::testing::Bool()),
                         [](const auto& info) {
                           return std::get<0>(info.param) + (std::get<1>(info.param) ? "_clipped" : "");
                         });

}  // namespace
}  // namespace normlab
