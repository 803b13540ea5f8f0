// The double reference against what PyTorch computed in float64 (golden/README.md).

#include <algorithm>

#include "tests/reference/golden.hpp"

#include <gtest/gtest.h>

namespace normlab::reference {
namespace {

/// max|a - b| / max|b|.
double relative(const Values& a, const Values& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(a[i] - b[i]));
  }
  return difference == 0 ? 0 : difference / largest(b);
}

constexpr double kTolerance = 1e-10;

const Golden& layers() {
  static const Golden golden(golden_path("layers.txt"));
  return golden;
}
const Golden& training() {
  static const Golden golden(golden_path("training.txt"));
  return golden;
}
const Golden& trajectories() {
  static const Golden golden(golden_path("trajectories.txt"));
  return golden;
}

void expect_norm(const std::string& prefix, const NormForward& forward, const NormGradients& g) {
  EXPECT_LT(relative(forward.y.v, layers().values(prefix + "y")), kTolerance);
  EXPECT_LT(relative(g.dx.v, layers().values(prefix + "dx")), kTolerance);
  EXPECT_LT(relative(g.dgamma, layers().values(prefix + "dgamma")), kTolerance);
  EXPECT_EQ(g.dbeta.empty(), !layers().has(prefix + "dbeta"));
  if (g.dbeta.empty()) return;
  EXPECT_LT(relative(g.dbeta, layers().values(prefix + "dbeta")), kTolerance);
}

TEST(ReferenceGolden, Norms) {
  int cases = 0;
  for (const std::string& number : layers().below("norm/")) {
    const std::string name = layers().below("norm/" + number + "/").front();
    const std::string key = number + "/" + name + "/";
    SCOPED_TRACE(key);
    const std::string prefix = "norm/" + key;
    const Norm norm = Norm::parse(name);
    const Tensor x = layers().tensor(prefix + "x");
    const Values& gamma = layers().values(prefix + "gamma");
    const Values beta = norm.has_beta() ? layers().values(prefix + "beta") : Values();
    const NormForward forward = norm_forward(norm, x, gamma, beta);
    expect_norm(prefix, forward, norm_backward(norm, forward, gamma, layers().tensor(prefix + "dy")));
    ++cases;
    if (name != "bn") continue;
    RunningStatistics running{layers().values(prefix + "running_mean_before"),
                              layers().values(prefix + "running_var_before")};
    const NormForward evaluated = batch_norm_evaluation(x, gamma, beta, running);
    const Tensor dy = layers().tensor("norm-eval/" + key + "dy");
    expect_norm("norm-eval/" + key, evaluated, batch_norm_evaluation_backward(evaluated, gamma, dy));
    update_running(running, forward);
    EXPECT_LT(relative(running.mean, layers().values(prefix + "running_mean")), kTolerance);
    EXPECT_LT(relative(running.var, layers().values(prefix + "running_var")), kTolerance);
  }
  EXPECT_EQ(cases, 18);
}

TEST(ReferenceGolden, ConvolutionAndLinear) {
  const auto expect = [](const std::string& prefix, const Tensor& y, const ConvGradients& g) {
    SCOPED_TRACE(prefix);
    EXPECT_LT(relative(y.v, layers().values(prefix + "y")), kTolerance);
    EXPECT_LT(relative(g.dx.v, layers().values(prefix + "dx")), kTolerance);
    EXPECT_LT(relative(g.dweight, layers().values(prefix + "dweight")), kTolerance);
    EXPECT_LT(relative(g.dbias, layers().values(prefix + "dbias")), kTolerance);
  };
  const auto numbers = layers().below("conv/");
  EXPECT_EQ(numbers.size(), 5U);
  for (const std::string& number : numbers) {
    const std::string prefix = "conv/" + number + "/";
    const Values& geometry = layers().values(prefix + "geometry");
    const Conv conv{static_cast<int>(geometry[0]), static_cast<int>(geometry[1]),
                    static_cast<int>(geometry[2])};
    const Tensor x = layers().tensor(prefix + "x");
    const Values& weight = layers().values(prefix + "weight");
    const Values& bias = layers().values(prefix + "bias");
    const Tensor y = conv2d(x, weight, bias, static_cast<int>(bias.size()), conv);
    expect(prefix, y, conv2d_backward(x, weight, layers().tensor(prefix + "dy"), conv));
  }
  const std::string prefix = "linear/0/";
  const Tensor x = layers().tensor(prefix + "x");
  const Values& weight = layers().values(prefix + "weight");
  const Values& bias = layers().values(prefix + "bias");
  expect(prefix, linear(x, weight, bias, static_cast<int>(bias.size())),
         linear_backward(x, weight, layers().tensor(prefix + "dy")));
}

TEST(ReferenceGolden, LayersWithoutParameters) {
  for (const std::string& number : layers().below("max_pool/")) {
    const std::string prefix = "max_pool/" + number + "/";
    const Tensor x = layers().tensor(prefix + "x");
    EXPECT_EQ(max_pool(x).v, layers().values(prefix + "y"));
    EXPECT_EQ(max_pool_backward(x, max_pool_choices(x), layers().tensor(prefix + "dy")).v,
              layers().values(prefix + "dx"));
  }
  const Tensor x = layers().tensor("global_average_pool/0/x");
  EXPECT_LT(relative(global_average_pool(x).v, layers().values("global_average_pool/0/y")), kTolerance);
  const Tensor dx = global_average_pool_backward(x, layers().tensor("global_average_pool/0/dy"));
  EXPECT_LT(relative(dx.v, layers().values("global_average_pool/0/dx")), kTolerance);
  EXPECT_EQ(wrap(layers().tensor("wrap/0/x")).v, layers().values("wrap/0/y"));
  EXPECT_LT(relative(wrap_backward(layers().tensor("wrap/0/dy")).v, layers().values("wrap/0/dx")),
            kTolerance);
}

TEST(ReferenceGolden, SoftmaxCrossEntropy) {
  for (const std::string& number : layers().below("cross_entropy/")) {
    const std::string prefix = "cross_entropy/" + number + "/";
    std::vector<int> labels;
    for (const double label : layers().values(prefix + "labels")) labels.push_back(static_cast<int>(label));
    const Loss loss = softmax_cross_entropy(layers().tensor(prefix + "logits"), labels,
                                            layers().value(prefix + "smoothing"));
    EXPECT_NEAR(loss.loss, layers().value(prefix + "loss"), kTolerance);
    EXPECT_LT(relative(loss.dlogits.v, layers().values(prefix + "dlogits")), kTolerance);
  }
}

/// The generator that golden inputs come from: the known answers of Random123 and the numpy twin.
TEST(ReferenceGolden, Philox) {
  const auto as_values = [](const auto& words) { return Values(words.begin(), words.end()); };
  constexpr std::uint32_t ones = 0xFFFFFFFF;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(as_values(philox4x32({0, 0, 0, 0}, 0)), layers().values("philox/zeros"));
  EXPECT_EQ(as_values(philox4x32({ones, ones, ones, ones}, ~0ULL)), layers().values("philox/ones"));
  Philox bits(trajectory::kSeed, Purpose::probe, 5, trajectory::Stream::labels);
  for (const double word : layers().values("philox/stream")) EXPECT_EQ(bits.next(), word);
}

// --- training ----------------------------------------------------------------------------------------------

TEST(ReferenceGolden, Optimizers) {
  const std::vector<int> dims = training().dims("optimizer/gradients");
  const auto row = [&](const std::string& name, int step) {
    const auto size = static_cast<std::ptrdiff_t>(dims.at(1));
    const auto begin = training().values(name).begin() + step * size;
    return Values(begin, begin + size);
  };
  const auto expect = [&](const std::string& name, const auto& step_of) {
    SCOPED_TRACE(name);
    Named w{{"w", training().values("optimizer/start")}};
    for (int step = 0; step < dims.at(0); ++step) {
      step_of(w, Named{{"w", row("optimizer/gradients", step)}}, step);
      EXPECT_LT(relative(w.at("w"), row("optimizer/" + name, step)), kTolerance) << "step " << step;
    }
  };
  Sgd sgd{5e-4, false, {}};
  expect("sgd", [&](Named& w, const Named& g, int) { sgd.step(w, g, 0.1, 0.9); });
  Sgd nesterov{5e-4, true, {}};
  expect("nesterov", [&](Named& w, const Named& g, int) { nesterov.step(w, g, 0.1, 0.9); });
  Sgd cycled;
  expect("sgd-one-cycle", [&](Named& w, const Named& g, int step) {
    const Rates rates = one_cycle(step, dims.at(0), 0.1);
    cycled.step(w, g, rates.lr, rates.momentum);
  });
  AdamW adamw;
  adamw.weight_decay = 0.05;
  expect("adamw", [&](Named& w, const Named& g, int) { adamw.step(w, g, 0.01); });

  for (const std::string name : {"clipped", "unclipped"}) {
    Named g{{"a", row("optimizer/gradients", 0)}, {"b", row("optimizer/gradients", 1)}};
    const double norm = clip_by_global_norm(g, training().value("clip/" + name + "/max_norm"));
    EXPECT_NEAR(norm, training().value("clip/" + name + "/norm"), kTolerance);
    EXPECT_LT(relative(g.at("a"), row("clip/" + name + "/gradients", 0)), kTolerance);
    EXPECT_LT(relative(g.at("b"), row("clip/" + name + "/gradients", 1)), kTolerance);
  }
}

TEST(ReferenceGolden, Schedules) {
  const auto expect = [](const std::string& name, const auto& rates_at) {
    SCOPED_TRACE(name);
    const Values& rows = training().values(name);
    for (std::size_t i = 0; i < rows.size(); i += 3) {
      const Rates rates = rates_at(static_cast<int>(rows[i]));
      EXPECT_NEAR(rates.lr, rows[i + 1], kTolerance * 0.1) << "step " << rows[i];
      EXPECT_NEAR(rates.momentum, rows[i + 2], kTolerance) << "step " << rows[i];
    }
  };
  for (const std::string& total : training().below("one_cycle/")) {
    expect("one_cycle/" + total, [&](int step) { return one_cycle(step, std::stoi(total), 0.1); });
  }
  expect("cosine/30", [](int step) { return Rates{cosine(step, 30, 0.1), 0.9}; });
  expect("step/30", [](int step) { return Rates{step_decay(step, 7, 0.3, 0.1), 0.9}; });
}

// --- trajectories ------------------------------------------------------------------------------------------

/// The estimate of the L2 distance that the digests allow.
TEST(ReferenceGolden, ProjectionsEstimateTheDistance) {
  const Network network = net_a("gn:4");
  const Named start = trajectory::initial_parameters(network);
  Named moved = start;
  Draw draw(16);
  double squares = 0;
  for (auto& [name, values] : moved) {
    for (double& value : values) value += 1e-3 * draw.normal();
    squares += l2_distance(values, start.at(name)) * l2_distance(values, start.at(name));
  }
  const double estimate = trajectory::projected_distance(trajectory::project(network, start, moved).whole,
                                                         trajectory::project(network, start, start).whole);
  EXPECT_NEAR(estimate / std::sqrt(squares), 1.0, 0.3);
}

class ReferenceTrajectory : public ::testing::TestWithParam<std::pair<std::string, int>> {};

TEST_P(ReferenceTrajectory, EqualsPyTorch) {
  const auto& [norm, steps] = GetParam();
  const Network network = net_a(norm);
  const Named start = trajectory::initial_parameters(network);
  const Values& losses = trajectories().values("trajectory/" + norm + "/losses");
  Named now = start;
  auto running = initial_running(network);
  Sgd sgd;
  for (int step = 0; step < steps; ++step) {
    const Pass pass = run(network, now, trajectory::input(step), trajectory::label_batch(step), running);
    EXPECT_NEAR(pass.loss.loss, losses.at(static_cast<std::size_t>(step)), 1e-9) << "step " << step;
    sgd.step(now, pass.gradients, trajectory::kRate, trajectory::kMomentum);
    running = pass.running;
  }
  if (steps < 5) return;
  const auto distance = trajectory::distance(trajectories(), norm, steps, network, start, now);
  EXPECT_LT(distance.whole, 1e-9);
  EXPECT_LT(distance.change, 1e-9);
  EXPECT_LT(distance.worst_tensor, 1e-9) << distance.worst_name;

  const std::string prefix = "trajectory/" + norm + "/" + std::to_string(steps) + "/";
  const Pass evaluation = run(network, now, trajectory::input(steps - 1), trajectory::label_batch(steps - 1),
                              running, {false, 0, nullptr});
  EXPECT_NEAR(evaluation.loss.loss, trajectories().value(prefix + "evaluation_loss"), 1e-9);
  for (const auto& [name, statistics] : running) {
    if (!trajectories().has(prefix + name + ".running_mean")) continue;
    EXPECT_LT(relative(statistics.mean, trajectories().values(prefix + name + ".running_mean")), 1e-9);
    EXPECT_LT(relative(statistics.var, trajectories().values(prefix + name + ".running_var")), 1e-9);
  }
}

#ifdef NORMLAB_SANITIZED
constexpr int kSteps = 1;  // the narrow networks take five
#else
constexpr int kSteps = 5;
#endif

INSTANTIATE_TEST_SUITE_P(NetA, ReferenceTrajectory,
                         ::testing::Values(std::pair{"bn", kSteps}, std::pair{"gn:4", kSteps},
                                         std::pair{"none", 1}, std::pair{"ln", 1},
                                         std::pair{"ln-elementwise", 5}, std::pair{"in", 1},
                                         std::pair{"rms", 1}, std::pair{"rms-elementwise", 5}),
                         [](const auto& info) {
                           std::string name =
                               info.param.first + "_" + std::to_string(info.param.second) + "_steps";
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return c == ':' || c == '-'; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace normlab::reference
