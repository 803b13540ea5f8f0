// Long sums keep their digits: the norms' results and the gradients of convolutions, on many values, on a
// constant, beside means far above the deviation and beside outliers, are no further from the reference than
// four times PyTorch's float32, or two units in the last place of what is added up, whichever is more.
// golden/make_sums.py says what PyTorch's errors are relative to; they stand in golden/sums.txt.

#include <algorithm>
#include <optional>

#include "layers/batch_norm.hpp"
#include "layers/conv2d.hpp"
#include "layers/group_norm.hpp"
#include "tests/reference/golden.hpp"
#include "tests/reference/norms.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/places.hpp"

namespace normlab {
namespace {

using reference::Values;

constexpr double kTwoUnits = 2 * 0x1p-23;

std::uint32_t mix(std::uint32_t h) {
  h = (h ^ (h >> 16)) * 0x7FEB352DU;
  h = (h ^ (h >> 15)) * 0x846CA68BU;
  return h ^ (h >> 16);
}

/// Near-normal numbers, as make_sums.py draws them.
Values draw(std::size_t count, std::uint32_t stream) {
  Values values(count);
  for (std::size_t i = 0; i < count; ++i) {
    double total = 0;
    for (std::uint32_t k = 0; k < 12; ++k) {
      total += (mix(static_cast<std::uint32_t>(i) * 12U + k + stream * 0x9E3779B9U) >> 8U) * 0x1p-24;
    }
    values[i] = total - 6;
  }
  return values;
}

reference::Tensor make_input(const std::string& shape, const std::string& content, int channels = 16) {
  reference::Tensor x = shape == "maps"    ? reference::Tensor(8, channels, 32, 32)
                        : shape == "large" ? reference::Tensor(1, channels, 224, 224)
                                           : reference::Tensor(4096, channels, 4, 4);
  x.v = draw(x.size(), 1);
  if (content == "constant") std::fill(x.v.begin(), x.v.end(), 1.2345678);
  if (content.starts_with("mean-")) {
    for (double& value : x.v) value += std::stod(content.substr(5));
  }
  for (int c = 0; c < x.c; ++c) {
    if (content == "outlier-first") x.at(0, c, 0, 0) = 1e4;
    if (content == "outlier-last") x.at(x.n - 1, c, x.h - 1, x.w - 1) = 1e4;
  }
  test::round_to_float(x.v);
  return x;
}

/// What goes into a norm, what the reference makes of it, and the sizes of what is added up.
struct Case {
  reference::Norm norm;
  reference::Tensor x, dy;
  Values gamma, beta;
  reference::NormForward forward;
  reference::NormGradients gradients;
  Values size_y, size_dx, size_dgamma, size_dbeta, size_mean;

  Case(const std::string& shape, const std::string& content, const std::string& norm_name)
      : norm(reference::Norm::parse(norm_name)), x(make_input(shape, content)), dy(x.like()) {
    dy.v = draw(x.size(), 2);
    for (double& value : dy.v) value += 0.2;
    const std::size_t affine = norm.affine_count(x.c, x.h, x.w);
    gamma = draw(affine, 3);
    for (double& value : gamma) value = value / 4 + 1;
    if (norm.has_beta()) beta = draw(affine, 4);
    for (Values* values : {&dy.v, &gamma, &beta}) test::round_to_float(*values);
    forward = reference::norm_forward(norm, x, gamma, beta);
    gradients = reference::norm_backward(norm, forward, gamma, dy);
    measure(affine);
  }

 private:
  void measure(std::size_t affine) {
    for (Values* values : {&size_y, &size_dx}) values->resize(x.size());
    for (Values* values : {&size_dgamma, &size_dbeta}) values->resize(affine);
    size_mean.resize(forward.mean.size());
    Values of_terms(forward.rstd.size()), of_products(forward.rstd.size()), mean_xhat(forward.rstd.size());
    reference::for_each(dy, [&](int n, int c, int h, int w, std::size_t i) {
      const std::size_t a = norm.affine(dy, c, h, w), g = norm.group(dy, n, c);
      const double xhat = std::abs(forward.xhat.v[i]), term = std::abs(gamma[a] * dy.v[i]);
      size_y[i] = std::abs(gamma[a]) * std::max(1.0, xhat) + (norm.has_beta() ? std::abs(beta[a]) : 0);
      of_terms[g] += term / forward.count[g];
      of_products[g] += term * xhat / forward.count[g];
      mean_xhat[g] += xhat / forward.count[g];
      size_dbeta[a] += std::abs(dy.v[i]);
      size_mean[g] += std::abs(x.v[i]) / forward.count[g];
    });
    reference::for_each(dy, [&](int n, int c, int h, int w, std::size_t i) {
      const std::size_t a = norm.affine(dy, c, h, w), g = norm.group(dy, n, c);
      size_dgamma[a] += std::abs(dy.v[i]) * std::max(std::abs(forward.xhat.v[i]), mean_xhat[g]);
      size_dx[i] = forward.rstd[g] * (std::abs(gamma[a] * dy.v[i]) + of_terms[g] +
                                      std::abs(forward.xhat.v[i]) * of_products[g]);
    });
  }
};

/// What belongs to a key, made again only when it is another: all backends run on one case before the next.
template <typename Made, typename Make>
const Made& made_once(const std::string& key, Make make) {
  static std::string last_key;
  static std::optional<Made> last;
  if (!last || last_key != key) {
    last.emplace(make());
    last_key = key;
  }
  return *last;
}

/// `what` is the result's name in sums.txt.
void expect_exact(const std::vector<float>& actual, const Values& expected, const Values& size,
                  const std::string& what) {
  static const reference::Golden golden(test::source_dir() + "/tests/reference/golden/sums.txt");
  const double allowed = std::max(4 * golden.value(what), kTwoUnits);
  test::expect_within(actual, expected, test::scaled(size, allowed), what);
}

/// (shape, content, norm, backend)
class LongSums
    : public ::testing::TestWithParam<std::tuple<std::string, std::string, std::string, std::string>> {};

TEST_P(LongSums, KeepTheirDigits) {
  const auto& [shape, content, norm_name, backend_name] = GetParam();
  const Case& k = made_once<Case>(shape + content + norm_name,
                                  [&s = shape, &c = content, &n = norm_name] { return Case(s, c, n); });
  const auto backend = test::make_test_backend(backend_name);
  std::unique_ptr<Layer> layer;
  if (norm_name == "bn") {
    layer = std::make_unique<BatchNorm>("norm", false);
  } else {
    using Kind = reference::Norm::Kind;
    const int groups = k.norm.kind == Kind::gn ? k.norm.groups : k.norm.kind == Kind::in ? k.x.c : 1;
    layer = std::make_unique<GroupNorm>(
        "norm", "norm", GroupNormSpec{groups, k.norm.centred(), k.norm.kind == Kind::ln_elementwise, false});
  }
  std::vector<Values> parameters{k.gamma};
  if (k.norm.has_beta()) parameters.push_back(k.beta);
  const test::LayerRun run = test::run_layer(backend, std::move(layer), k.x, k.dy, parameters);

  const auto expect = [&](const std::vector<float>& actual, const Values& expected, const Values& size,
                          const std::string& what) {
    expect_exact(actual, expected, size, fmt::format("{}/{}/{}/{}", shape, content, norm_name, what));
  };
  expect(run.y, k.forward.y.v, k.size_y, "y");
  expect(run.dx, k.gradients.dx.v, k.size_dx, "dx");
  expect(run.gradients[0], k.gradients.dgamma, k.size_dgamma, "dgamma");
  if (k.norm.has_beta()) expect(run.gradients[1], k.gradients.dbeta, k.size_dbeta, "dbeta");
  if (norm_name != "bn") return;
  // The running statistics begin at 0 and 1 and take a tenth: what they took is the batch's.
  for (const auto& state : run.states) {
    if (state.size() != k.forward.mean.size()) continue;
    const bool is_mean = &state == &run.states[0];
    Values expected(state.size()), size(state.size());
    for (std::size_t c = 0; c < state.size(); ++c) {
      const double unbiased = k.forward.var[c] * k.forward.count[c] / (k.forward.count[c] - 1);
      expected[c] = is_mean ? 0.1 * k.forward.mean[c] : 0.9 + 0.1 * unbiased;
      size[c] = is_mean ? 0.1 * k.size_mean[c] : 0.9 + 0.1 * (k.forward.var[c] + 1e-5);
    }
    expect(state, expected, size, is_mean ? "mean" : "var");
  }
}

const auto kContents =
    ::testing::Values("normal", "constant", "mean-1e4", "mean-1e6", "outlier-first", "outlier-last");
const auto kNorms = ::testing::Values("bn", "ln", "ln-elementwise", "gn:4", "in", "rms");

// Sanitizers have nothing new to find on larger maps, and take their time.
#ifdef NORMLAB_SANITIZED
const auto kShapes = ::testing::Values("maps");
#else
const auto kShapes = ::testing::Values("maps", "large", "many");
#endif

std::string name(const ::testing::TestParamInfo<LongSums::ParamType>& info) {
  const auto& [shape, content, norm, backend] = info.param;
  return backend + "_" + shape + "_" + test::identifier(content) + "_" + test::identifier(norm);
}

std::vector<std::string> backends(bool emulated) {
  std::vector<std::string> names = test::backend_names(DataType::f32);
  std::erase_if(names, [&](const std::string& name) {
    return test::has_part(name, "library") || test::has_part(name, "emulated") != emulated;
  });
  return names;
}

INSTANTIATE_TEST_SUITE_P(Backends, LongSums,
                         ::testing::Combine(kShapes, kContents, kNorms, ::testing::ValuesIn(backends(false))),
                         name);
// The emulated GPU takes a hundred times as long: small maps for all, few large ones.
INSTANTIATE_TEST_SUITE_P(Emulated, LongSums,
                         ::testing::Combine(::testing::Values("maps"), kContents, kNorms,
                                            ::testing::ValuesIn(backends(true))),
                         name);
#ifndef NORMLAB_SANITIZED
INSTANTIATE_TEST_SUITE_P(EmulatedLarge, LongSums,
                         ::testing::Combine(::testing::Values("large", "many"),
                                            ::testing::Values("outlier-first"),
                                            ::testing::Values("bn", "ln", "rms"),
                                            ::testing::ValuesIn(backends(true))),
                         name);
#endif

// --- convolutions ------------------------------------------------------------------------------------------

/// What goes into a convolution, the reference's gradients, and the sizes of what is added up.
struct ConvCase {
  reference::Tensor x, dy;
  Values weight;
  reference::ConvGradients expected, size;

  ConvCase(const std::string& shape, const std::string& content, int channels, int kernel)
      : x(make_input(shape, content, channels)), dy(x.n, 16, x.h, x.w) {
    dy.v = draw(dy.size(), 2);
    for (double& value : dy.v) value += 1.2;
    test::round_to_float(dy.v);
    weight = draw(static_cast<std::size_t>(16 * channels * kernel * kernel), 3);
    const reference::Conv conv{kernel, 1, kernel / 2};
    expected = reference::conv2d_backward(x, weight, dy, conv);
    size = reference::conv2d_backward(reference::absolute(x), weight, reference::absolute(dy), conv);
  }
};

/// (shape, content, (channels, kernel), backend)
class LongGradients : public ::testing::TestWithParam<
                          std::tuple<std::string, std::string, std::pair<int, int>, std::string>> {};

TEST_P(LongGradients, KeepTheirDigits) {
  const auto& [shape, content, layer, backend_name] = GetParam();
  const auto [channels, kernel] = layer;
  const std::string name = fmt::format("{}/{}/conv-{}-{}/", shape, content, channels, kernel);
  const ConvCase& k = made_once<ConvCase>(
      name, [&s = shape, &t = content, &l = layer] { return ConvCase(s, t, l.first, l.second); });
  const auto backend = test::make_test_backend(backend_name);
  const test::LayerRun run = test::run_layer(
      backend, std::make_unique<Conv2d>("conv", Conv2d::Options{16, kernel, 1, kernel / 2, true}), k.x, k.dy,
      {k.weight, Values(16)});
  expect_exact(run.gradients[0], k.expected.dweight, k.size.dweight, name + "dweight");
  expect_exact(run.gradients[1], k.expected.dbias, k.size.dbias, name + "dbias");
}

INSTANTIATE_TEST_SUITE_P(Backends, LongGradients,
                         ::testing::Combine(kShapes, ::testing::Values("normal", "constant"),
                                            ::testing::Values(std::pair{16, 1}, std::pair{16, 3},
                                                              std::pair{3, 3}),
                                            ::testing::ValuesIn(backends(false))),
                         [](const auto& info) {
                           const auto layer = std::get<2>(info.param);
                           return fmt::format("{}_{}_{}_{}_{}", std::get<3>(info.param),
                                              std::get<0>(info.param), std::get<1>(info.param), layer.first,
                                              layer.second);
                         });

}  // namespace
}  // namespace normlab
