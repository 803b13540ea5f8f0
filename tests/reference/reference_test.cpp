// The double reference, judged without any other program: finite differences, laws, parameter counts, and
// what it says about forced decisions. Its golden values are in reference_golden_test.cpp.

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/reference/gradient_check.hpp"
#include "tests/reference/norms.hpp"

namespace normlab::reference {
namespace {

constexpr double kTolerance = 1e-6;
const std::vector<std::string> kNorms{"bn", "ln",  "ln-elementwise", "gn:1", "gn:2", "gn:4",
                                      "in", "rms", "rms-elementwise"};

Tensor like(Draw& draw, const Tensor& y) {
  return draw.tensor(y.n, y.c, y.h, y.w);
}

std::string shape_of(const Tensor& x) {
  return std::to_string(x.n) + "x" + std::to_string(x.c) + "x" + std::to_string(x.h) + "x" +
         std::to_string(x.w);
}

// --- finite differences: single layers ---------------------------------------------------------------------

TEST(ReferenceGradient, Conv2d) {
  Draw draw(1);
  for (int trial = 0; trial < 40; ++trial) {
    const Conv conv{trial % 2 == 0 ? 3 : 1, draw.integer(1, 2), trial % 2 == 0 ? draw.integer(0, 1) : 0};
    const int smallest = std::max(1, conv.k - 2 * conv.pad);
    Tensor x = draw.tensor(draw.integer(1, 3), draw.integer(1, 3), smallest + draw.integer(0, 4),
                           smallest + draw.integer(0, 4));
    const int outputs = draw.integer(1, 3);
    Values weight = draw.normals(static_cast<std::size_t>(outputs * x.c * conv.k * conv.k));
    Values bias = draw.normals(static_cast<std::size_t>(outputs));
    const Tensor dy = like(draw, conv2d(x, weight, bias, outputs, conv));
    const auto loss = [&] { return inner(conv2d(x, weight, bias, outputs, conv), dy); };
    const ConvGradients g = conv2d_backward(x, weight, dy, conv);
    SCOPED_TRACE("x " + shape_of(x) + ", k " + std::to_string(conv.k));
    EXPECT_LT(gradient_error(x.v, g.dx.v, loss), kTolerance);
    EXPECT_LT(gradient_error(weight, g.dweight, loss), kTolerance);
    EXPECT_LT(gradient_error(bias, g.dbias, loss), kTolerance);
  }
}

TEST(ReferenceGradient, Linear) {
  Draw draw(2);
  for (int trial = 0; trial < 20; ++trial) {
    Tensor x = draw.tensor(draw.integer(1, 3), draw.integer(1, 5), draw.integer(1, 2), 1);
    const int outputs = draw.integer(1, 4);
    Values weight = draw.normals(x.per_sample() * static_cast<std::size_t>(outputs));
    Values bias = draw.normals(static_cast<std::size_t>(outputs));
    const Tensor dy = like(draw, linear(x, weight, bias, outputs));
    const auto loss = [&] { return inner(linear(x, weight, bias, outputs), dy); };
    const ConvGradients g = linear_backward(x, weight, dy);
    EXPECT_LT(gradient_error(x.v, g.dx.v, loss), kTolerance);
    EXPECT_LT(gradient_error(weight, g.dweight, loss), kTolerance);
    EXPECT_LT(gradient_error(bias, g.dbias, loss), kTolerance);
  }
}

TEST(ReferenceGradient, LayersWithKinks) {
  Draw draw(3);
  const double h = 1e-5;
  int redrawn = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const int height = draw.integer(2, 5);
    const int width = draw.integer(2, 5);
    Tensor x;
    const auto next = [&] { x = draw.tensor(draw.integer(1, 3), draw.integer(1, 3), height, width); };
    redrawn += draw_clear_of_kinks(
        next, [&] { return relu_kink_distance(x); }, h);
    const Tensor dy = like(draw, x);
    EXPECT_LT(gradient_error(
                  x.v, relu_backward(relu_mask(x), dy).v, [&] { return inner(relu(x), dy); }, h),
              kTolerance);

    redrawn += draw_clear_of_kinks(
        next, [&] { return max_pool_kink_distance(x); }, h);
    const Tensor dpool = like(draw, max_pool(x));
    EXPECT_LT(gradient_error(
                  x.v, max_pool_backward(x, max_pool_choices(x), dpool).v,
                  [&] { return inner(max_pool(x), dpool); }, h),
              kTolerance);
  }
  RecordProperty("redrawn", redrawn);
}

TEST(ReferenceGradient, LayersWithoutParameters) {
  Draw draw(4);
  for (int trial = 0; trial < 20; ++trial) {
    Tensor x = draw.tensor(draw.integer(1, 3), draw.integer(1, 3), draw.integer(1, 5), draw.integer(1, 5));
    const Tensor mean_dy = like(draw, global_average_pool(x));
    EXPECT_LT(gradient_error(x.v, global_average_pool_backward(x, mean_dy).v,
                             [&] { return inner(global_average_pool(x), mean_dy); }),
              kTolerance);
    const Tensor wrap_dy = like(draw, wrap(x));
    EXPECT_LT(gradient_error(x.v, wrap_backward(wrap_dy).v, [&] { return inner(wrap(x), wrap_dy); }),
              kTolerance);
    const Tensor other = like(draw, x);
    const Tensor dy = like(draw, x);
    EXPECT_LT(gradient_error(x.v, dy.v, [&] { return inner(add(x, other), dy); }), kTolerance);
  }
}

TEST(ReferenceGradient, SoftmaxCrossEntropy) {
  Draw draw(5);
  for (const double smoothing : {0.0, 0.1, 0.5}) {
    for (int n = 1; n <= 4; ++n) {
      Tensor logits = draw.tensor(n, draw.integer(2, 10), 1, 1, 0, 3);
      std::vector<int> labels(static_cast<std::size_t>(n));
      for (int& label : labels) label = draw.integer(0, logits.c - 1);
      const auto loss = [&] { return softmax_cross_entropy(logits, labels, smoothing).loss; };
      EXPECT_LT(gradient_error(logits.v, softmax_cross_entropy(logits, labels, smoothing).dlogits.v, loss),
                kTolerance);
    }
  }
}

TEST(ReferenceGradient, DrawsNearAKinkAreDrawnAgainAndCounted) {
  Draw draw(15);
  Tensor x;
  int drawn = 0;
  const auto next = [&] {
    x = draw.tensor(1, 1, 4, 4);
    ++drawn;
  };
  const int redrawn = draw_clear_of_kinks(
      next, [&] { return relu_kink_distance(x); }, 0.01);
  EXPECT_GT(redrawn, 0);
  EXPECT_EQ(drawn, redrawn + 1);
  EXPECT_GT(relu_kink_distance(x), 0.1);
  EXPECT_THROW((void)draw_clear_of_kinks(
                   next, [&] { return max_pool_kink_distance(x); }, 1.0),
               std::runtime_error);
}

// --- finite differences: norms -----------------------------------------------------------------------------

struct NormCase {
  Norm norm;
  Tensor x;
  Tensor dy;
  Values gamma;
  Values beta;

  NormForward forward() const { return norm_forward(norm, x, gamma, beta); }
  NormGradients backward() const { return norm_backward(norm, forward(), gamma, dy); }
  double loss() const { return inner(forward().y, dy); }
};

/// The gradient of a group of one or two elements is of the size of eps (xhat hardly moves): only a large
/// step keeps it above rounding. So that the fourth order error of that step stays small, no group's
/// deviation may be.
constexpr double kNormStep = 2e-3;

bool well_spread(const Norm& norm, const NormForward& forward) {
  for (std::size_t g = 0; g < forward.rstd.size(); ++g) {
    const bool one_value = norm.centred() && forward.count[g] == 1;  // then xhat is 0 whatever x is
    if (!one_value && forward.rstd[g] > 4) return false;
  }
  return true;
}

/// Odd shapes, one sample, one pixel, one channel per group, means away from 0.
NormCase draw_case(Draw& draw, const std::string& name, int trial) {
  const Norm norm = Norm::parse(name);
  for (;;) {
    const bool pixel = trial % 4 == 1;
    const int n = trial % 4 == 2 ? 1 : draw.integer(pixel ? 2 : 1, 3);
    const int c = norm.groups * draw.integer(1, 3);
    const int h = pixel ? 1 : draw.integer(2, 5);
    const int w = pixel ? 1 : draw.integer(1, 5);
    NormCase result{norm, draw.tensor(n, c, h, w, draw.uniform(-3, 3), draw.uniform(1, 2)), {}, {}, {}};
    result.dy = like(draw, result.x);
    result.gamma = draw.gammas(norm.affine_count(c, h, w));
    if (norm.has_beta()) result.beta = draw.normals(result.gamma.size());
    if (well_spread(norm, norm_forward(norm, result.x, result.gamma, result.beta))) return result;
  }
}

class NormGradient : public ::testing::TestWithParam<std::string> {};

TEST_P(NormGradient, MatchesFiniteDifferences) {
  Draw draw(6);
  double worst = 0;
  for (int trial = 0; trial < 40; ++trial) {
    NormCase drawn = draw_case(draw, GetParam(), trial);
    const auto loss = [&] { return drawn.loss(); };
    const NormGradients g = drawn.backward();
    SCOPED_TRACE(shape_of(drawn.x));
    const double dx = gradient_error(drawn.x.v, g.dx.v, loss, kNormStep);
    const double dgamma = gradient_error(drawn.gamma, g.dgamma, loss, kNormStep);
    const double dbeta = gradient_error(drawn.beta, g.dbeta, loss, kNormStep);
    EXPECT_LT(dx, kTolerance);
    EXPECT_LT(dgamma, kTolerance);
    EXPECT_LT(dbeta, kTolerance);
    worst = std::max({worst, dx, dgamma, dbeta});
  }
  RecordProperty("worst_e12", std::to_string(worst * 1e12));
}

TEST_P(NormGradient, WithReluMatchesFiniteDifferences) {
  Draw draw(7);
  const double h = 1e-5;
  int redrawn = 0;
  for (int trial = 0; trial < 20; ++trial) {
    NormCase drawn;
    const auto next = [&] { drawn = draw_case(draw, GetParam(), 2 * trial); };
    const auto distance = [&] {
      const auto groups = static_cast<double>(drawn.norm.group_count(drawn.x));
      if (static_cast<double>(drawn.x.size()) / groups < 4) return 0.0;  // such groups need kNormStep
      return relu_kink_distance(drawn.forward().y);
    };
    redrawn += draw_clear_of_kinks(next, distance, h);
    const auto forward = [&] { return norm_relu_forward(drawn.norm, drawn.x, drawn.gamma, drawn.beta); };
    const auto loss = [&] { return inner(forward().y, drawn.dy); };
    const NormGradients g = norm_relu_backward(drawn.norm, forward(), drawn.gamma, drawn.dy);
    SCOPED_TRACE(shape_of(drawn.x));
    EXPECT_LT(gradient_error(drawn.x.v, g.dx.v, loss, h), kTolerance);
    EXPECT_LT(gradient_error(drawn.gamma, g.dgamma, loss, h), kTolerance);
    EXPECT_LT(gradient_error(drawn.beta, g.dbeta, loss, h), kTolerance);
  }
  RecordProperty("redrawn", redrawn);
}

INSTANTIATE_TEST_SUITE_P(Reference, NormGradient, ::testing::ValuesIn(kNorms), [](const auto& name) {
  std::string result = name.param;
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c == ':' || c == '-'; }, '_');
  return result;
});

TEST(ReferenceGradient, BatchNormAtEvaluation) {
  Draw draw(8);
  for (int trial = 0; trial < 20; ++trial) {
    NormCase drawn = draw_case(draw, "bn", trial);
    RunningStatistics running{draw.normals(drawn.gamma.size()), absolute(draw.gammas(drawn.gamma.size()))};
    const auto forward = [&] { return batch_norm_evaluation(drawn.x, drawn.gamma, drawn.beta, running); };
    const auto loss = [&] { return inner(forward().y, drawn.dy); };
    const NormGradients g = batch_norm_evaluation_backward(forward(), drawn.gamma, drawn.dy);
    EXPECT_LT(gradient_error(drawn.x.v, g.dx.v, loss), kTolerance);
    EXPECT_LT(gradient_error(drawn.gamma, g.dgamma, loss), kTolerance);
    EXPECT_LT(gradient_error(drawn.beta, g.dbeta, loss), kTolerance);
  }
}

TEST(ReferenceGradient, TheCheckerSeesAWrongGradient) {
  Draw draw(9);
  NormCase drawn = draw_case(draw, "gn:2", 0);
  NormGradients g = drawn.backward();
  const auto loss = [&] { return drawn.loss(); };
  auto& x = drawn.x;
  g.dx.v[0] *= 1.0001;
  EXPECT_GT(gradient_error(x.v, g.dx.v, loss), kTolerance);
  g.dx.v[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_GT(gradient_error(x.v, g.dx.v, loss), kTolerance);
}

// --- laws --------------------------------------------------------------------------------------------------

double norm_difference(const std::string& one, const std::string& other, int n) {
  Draw draw(12);
  double worst = 0;
  for (int trial = 0; trial < 10; ++trial) {
    Tensor x = draw.tensor(n, 6, draw.integer(1, 5), draw.integer(2, 5), 10, 2);
    const Tensor dy = like(draw, x);
    const Values gamma = draw.gammas(6);
    const Values beta = draw.normals(6);
    const auto pass = [&](const std::string& name) {
      const Norm norm = Norm::parse(name);
      const NormForward forward = norm_forward(norm, x, gamma, beta);
      NormGradients g = norm_backward(norm, forward, gamma, dy);
      Values all = forward.y.v;
      for (const Values& part : {g.dx.v, g.dgamma, g.dbeta}) all.insert(all.end(), part.begin(), part.end());
      return all;
    };
    worst = std::max(worst, l2_distance(pass(one), pass(other)));
  }
  return worst;
}

TEST(ReferenceLaws, GroupNormOfOneGroupIsLayerNorm) {
  EXPECT_LT(norm_difference("gn:1", "ln", 3), 1e-12);
}
TEST(ReferenceLaws, GroupNormOfCGroupsIsInstanceNorm) {
  EXPECT_LT(norm_difference("gn:6", "in", 3), 1e-12);
}
TEST(ReferenceLaws, BatchNormOfOneSampleIsInstanceNorm) {
  EXPECT_LT(norm_difference("bn", "in", 1), 1e-12);
}
TEST(ReferenceLaws, TheyAreNotAllTheSame) {
  EXPECT_GT(norm_difference("gn:2", "ln", 3), 0.1);
  EXPECT_GT(norm_difference("gn:3", "in", 3), 0.1);
  EXPECT_GT(norm_difference("bn", "in", 2), 0.1);
}

TEST(ReferenceLaws, ALargeMeanAndAConstantInputCostNothing) {
  Draw draw(13);
  const Norm norm = Norm::parse("gn:2");
  const Values gamma = draw.gammas(4);
  const Values beta = draw.normals(4);
  Tensor x(2, 4, 3, 5);
  for (double& value : x.v) value = draw.integer(-1024, 1024) / 512.0;  // 1e4 + value is exact
  Tensor moved = x;
  for (double& value : moved.v) value += 1e4;
  EXPECT_LT(l2_distance(norm_forward(norm, x, gamma, beta).y.v, norm_forward(norm, moved, gamma, beta).y.v),
            1e-9);
  const NormForward flat = norm_forward(norm, Tensor(2, 4, 3, 5, 12345.678), gamma, beta);
  EXPECT_EQ(largest(flat.xhat.v), 0.0);
}

TEST(ReferenceLaws, BatchNormRefusesOneValuePerChannel) {
  EXPECT_THROW((void)norm_forward(Norm::parse("bn"), Tensor(1, 2, 1, 1), {1, 1}, {0, 0}),
               std::invalid_argument);
}

}  // namespace
}  // namespace normlab::reference
