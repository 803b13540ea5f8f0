// Layer, group, instance and RMS norm against the reference, and the identities between them. In bf16 only y
// and dx are rounded: statistics, sums and parameter gradients are as exact as in fp32.

#include <algorithm>

#include "layers/group_norm.hpp"

#include "layers/softmax_cross_entropy.hpp"
#include "tests/reference/norms.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/norm_tolerance.hpp"

namespace normlab {
namespace {

using reference::Values;
using Kind = reference::Norm::Kind;

struct Case {
  reference::Norm norm;
  bool relu = false;
  reference::Tensor x, dy;
  Values gamma, beta;

  [[nodiscard]] GroupNormSpec spec() const {
    const int groups = norm.kind == Kind::gn ? norm.groups : norm.kind == Kind::in ? x.c : 1;
    return {groups, norm.centred(), norm.elementwise(), relu};
  }
  [[nodiscard]] std::vector<Values> parameters() const {
    return norm.has_beta() ? std::vector<Values>{gamma, beta} : std::vector<Values>{gamma};
  }
};

/// x of every kind that has hurt somebody: odd sizes, one pixel, one channel, large means, constants.
Case draw_case(int seed, DataType type) {
  reference::Draw draw(static_cast<std::uint64_t>(seed));
  Case k;
  const int n = draw.integer(0, 3) == 0 ? 1 : draw.integer(2, 6);
  const int h = draw.integer(0, 4) == 0 ? 1 : draw.integer(1, 9),
            w = draw.integer(0, 4) == 0 ? 1 : draw.integer(1, 9);
  const int c = draw.integer(0, 4) == 0 ? 1 : draw.integer(1, 50);
  const std::array<Kind, 6> kinds{
      Kind::gn, Kind::ln, Kind::in, Kind::rms, Kind::ln_elementwise, Kind::rms_elementwise};
  k.norm.kind = kinds[static_cast<std::size_t>(seed) % kinds.size()];
  do k.norm.groups = draw.integer(1, c);
  while (c % k.norm.groups != 0);
  k.relu = draw.integer(0, 1) == 0;
  const int content = draw.integer(0, 5);
  k.x = draw.tensor(n, c, h, w, content == 0 ? 1e4 : 0.5, content == 1 ? 1e-3 : 1.0);
  if (content == 2) std::fill(k.x.v.begin(), k.x.v.end(), draw.normal());
  k.dy = draw.tensor(n, c, h, w, 0.2);
  const std::size_t affine = k.norm.affine_count(c, h, w);
  k.gamma = draw.gammas(affine);
  if (k.norm.has_beta()) k.beta = draw.normals(affine);
  for (Values* values : {&k.x.v, &k.dy.v}) test::round_to(type, *values);
  for (Values* values : {&k.gamma, &k.beta}) test::round_to_float(*values);
  return k;
}

class GroupNormShapes : public ::testing::TestWithParam<test::BackendAndDraw> {};

TEST_P(GroupNormShapes, MatchesReference) {
  const auto& [backend_name, seed] = GetParam();
  const DataType type = test::precision_of(backend_name);
  // A pre-activation within rounding of 0 may fall on either side: draw again.
  Case k;
  reference::NormForward forward;
  for (int attempt = 0; attempt < 50; ++attempt) {
    k = draw_case(seed + 1000 * attempt, type);
    forward = reference::norm_forward(k.norm, k.x, k.gamma, k.beta);
    if (!k.relu || reference::relu_kink_distance(forward.y) > 2e-5) break;
  }
  SCOPED_TRACE(fmt::format("norm {} groups {} relu {} x {}x{}x{}x{}", static_cast<int>(k.norm.kind),
                           k.norm.groups, k.relu, k.x.n, k.x.c, k.x.h, k.x.w));
  const reference::Mask mask =
      k.relu ? reference::relu_mask(forward.y) : reference::Mask(forward.y.size(), std::uint8_t{1});
  const reference::Tensor y = reference::relu(forward.y, mask);
  const reference::Tensor dz = reference::relu(k.dy, mask);
  const reference::NormGradients expected = reference::norm_backward(k.norm, forward, k.gamma, dz);

  const auto backend = test::make_test_backend(backend_name, 1 + seed % 2);
  const test::LayerRun run = test::run_layer(backend, std::make_unique<GroupNorm>("norm", "norm", k.spec()),
                                             k.x, k.dy, k.parameters(), 1 + seed % 4);

  const test::NormTolerance tolerance = test::norm_tolerance(k.norm, forward, k.gamma, k.beta, dz);
  test::expect_within(run.y, y.v, test::stored(type, y.v, tolerance.y), "y");
  test::expect_within(run.dx, expected.dx.v, test::stored(type, expected.dx.v, tolerance.dx), "dx");
  test::expect_within(run.gradients[0], expected.dgamma, tolerance.dgamma, "dgamma");
  if (k.norm.has_beta()) test::expect_within(run.gradients[1], expected.dbeta, tolerance.dbeta, "dbeta");
}

// 1,200 draws: 200 for each of the six norms.
INSTANTIATE_TEST_SUITE_P(Random, GroupNormShapes, ::testing::ValuesIn(test::draws(1200)), test::name_of);

/// Maps that a GPU's block cannot keep: their groups are cut into parts. Among so many values some lie on the
/// ReLU's kink, so the reference takes the mask of the run.
class GroupNormLargeMaps : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(GroupNormLargeMaps, MatchReference) {
  const auto& [backend_name, norm_name] = GetParam();
  const DataType type = test::precision_of(backend_name);
  reference::Draw draw(77);
  Case k;
  k.norm = reference::Norm::parse(norm_name);
  k.relu = true;
  k.x = draw.tensor(2, 16, 61, 59, 100, 3);
  k.dy = draw.tensor(2, 16, 61, 59, 0.2);
  const std::size_t affine = k.norm.affine_count(16, 61, 59);
  k.gamma = draw.gammas(affine);
  if (k.norm.has_beta()) k.beta = draw.normals(affine);
  for (Values* values : {&k.x.v, &k.dy.v}) test::round_to(type, *values);
  for (Values* values : {&k.gamma, &k.beta}) test::round_to_float(*values);
  const reference::NormForward forward = reference::norm_forward(k.norm, k.x, k.gamma, k.beta);

  const auto backend = test::make_test_backend(backend_name);
  const test::LayerRun run = test::run_layer(backend, std::make_unique<GroupNorm>("norm", "norm", k.spec()),
                                             k.x, k.dy, k.parameters());

  reference::Mask mask(forward.y.size());
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = run.y[i] > 0 ? 1 : 0;
  const reference::Tensor y = reference::relu(forward.y, mask), dz = reference::relu(k.dy, mask);
  const reference::NormGradients expected = reference::norm_backward(k.norm, forward, k.gamma, dz);
  const test::NormTolerance tolerance = test::norm_tolerance(k.norm, forward, k.gamma, k.beta, dz);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    ASSERT_TRUE((forward.y.v[i] > 0) == (mask[i] != 0) || std::abs(forward.y.v[i]) <= tolerance.y) << i;
  }
  test::expect_within(run.y, y.v, test::stored(type, y.v, tolerance.y), "y");
  test::expect_within(run.dx, expected.dx.v, test::stored(type, expected.dx.v, tolerance.dx), "dx");
  test::expect_within(run.gradients[0], expected.dgamma, tolerance.dgamma, "dgamma");
  if (k.norm.has_beta()) test::expect_within(run.gradients[1], expected.dbeta, tolerance.dbeta, "dbeta");
}

std::vector<std::string> gpu_names() {
  std::vector<std::string> names = test::backend_names();
  std::erase_if(names, [](const std::string& name) { return !test::has_part(name, "cuda"); });
  return names;
}

INSTANTIATE_TEST_SUITE_P(Gpu, GroupNormLargeMaps,
                         ::testing::Combine(::testing::ValuesIn(gpu_names()),
                                            ::testing::Values("ln", "gn:2", "in", "rms", "ln-elementwise",
                                                              "rms-elementwise")),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param));
                         });

class GroupNormLaws : public ::testing::TestWithParam<std::string> {};

TEST_P(GroupNormLaws, AConstantInputBecomesBeta) {
  reference::Draw draw(7);
  const reference::Tensor x(3, 8, 5, 5, 12345.678F);
  reference::Tensor dy = draw.tensor(3, 8, 5, 5);
  Values gamma = draw.gammas(8), beta = draw.normals(8);
  const auto backend = test::make_test_backend(GetParam());
  test::round_to(backend.precision, beta);
  const test::LayerRun run = test::run_layer(
      backend, std::make_unique<GroupNorm>("norm", "norm", GroupNormSpec{2, true, false, false}), x, dy,
      {gamma, beta});
  for (std::size_t i = 0; i < run.y.size(); ++i) ASSERT_EQ(run.y[i], static_cast<float>(beta[i / 25 % 8]));
}

TEST_P(GroupNormLaws, RefusesGroupsThatDoNotDivide) {
  const auto backend = test::make_test_backend(GetParam());
  Graph graph(*backend, {1, 16, 4, 4});
  graph.add(
      std::make_unique<ProbeLoss>(),
      graph.add(std::make_unique<GroupNorm>("c1.norm", "group_norm", GroupNormSpec{3, true, false, false}),
                0));
  try {
    graph.setup({});
    FAIL() << "3 groups of 16 channels were accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("c1.norm"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("16"), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, GroupNormLaws, ::testing::ValuesIn(test::backend_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace normlab
