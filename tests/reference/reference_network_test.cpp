// Whole networks of the double reference: finite differences, parameter counts, forced decisions.

#include <algorithm>

#include "tests/reference/network.hpp"

#include <gtest/gtest.h>

namespace normlab::reference {
namespace {

constexpr double kTolerance = 1e-6;

// --- finite differences --------------------------------------------------------------------------

Named random_parameters(Draw& draw, const Network& network) {
  Named result;
  for (const Parameter& parameter : parameters_of(network)) {
    const bool gamma = parameter.name.find(".norm.weight") != std::string::npos;
    const double deviation = parameter.fan_in ? std::sqrt(2.0 / static_cast<double>(parameter.fan_in)) : 0.3;
    result[parameter.name] =
        gamma ? draw.gammas(parameter.count) : draw.normals(parameter.count, 0, deviation);
  }
  return result;
}

std::vector<int> random_labels(Draw& draw, int n) {
  std::vector<int> labels(static_cast<std::size_t>(n));
  for (int& label : labels) label = draw.integer(0, 9);
  return labels;
}

/// The worst relative error over all parameter tensors and the input.
double worst_error(const Network& network, Named& parameters, Tensor& x, const std::vector<int>& labels,
                   const Options& options, double h, std::size_t samples) {
  const auto running = initial_running(network);
  const Pass pass = run(network, parameters, x, labels, running, options);
  const auto loss = [&] { return run(network, parameters, x, labels, running, options).loss.loss; };
  double worst = gradient_error(x.v, pass.activation_gradients.at("input").v, loss, h, samples);
  for (auto& [name, values] : parameters) {
    worst = std::max(worst, gradient_error(values, pass.gradients.at(name), loss, h, samples));
  }
  return worst;
}

class NetworkGradient : public ::testing::TestWithParam<std::string> {};

/// Small enough that a draw without any kink nearby is found.
TEST_P(NetworkGradient, OfPlainMatchesFiniteDifferences) {
  Draw draw(10);
  const double h = 1e-5;
  const Network network = plain(2, GetParam(), 5, 7, 4);
  Named parameters;
  Tensor x;
  std::vector<int> labels;
  const auto next = [&] {
    parameters = random_parameters(draw, network);
    x = draw.tensor(2, 3, 5, 7);
    labels = random_labels(draw, 2);
  };
  const auto distance = [&] {
    return run(network, parameters, x, labels, initial_running(network)).kink_distance;
  };
  RecordProperty("redrawn", draw_clear_of_kinks(next, distance, h));
  EXPECT_LT(worst_error(network, parameters, x, labels, {true, 0.1, nullptr}, h, 12), kTolerance);
}

/// All of NetA on a small image; with its decisions frozen it has no kinks.
TEST_P(NetworkGradient, OfNetAWithFrozenDecisionsMatchesFiniteDifferences) {
  Draw draw(11);
  const Network network = net_a(GetParam(), 13, 12, Norm::parse(GetParam()).elementwise() ? 0.5 : 0.25);
  Named parameters = random_parameters(draw, network);
  Tensor x = draw.tensor(3, 3, 13, 12);
  const std::vector<int> labels = random_labels(draw, 3);
  for (const bool training : {true, false}) {
    Options options{training, 0, nullptr};
    const Decisions decisions =
        run(network, parameters, x, labels, initial_running(network), options).decisions;
    options.forced = &decisions;
    EXPECT_LT(worst_error(network, parameters, x, labels, options, 1e-4, 4), kTolerance);
    if (GetParam() != "bn") break;  // only bn differs at evaluation
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, NetworkGradient,
                         ::testing::Values("none", "bn", "ln", "ln-elementwise", "gn:4", "in", "rms",
                                         "rms-elementwise"),
                         [](const auto& name) {
                           std::string result = name.param;
                           std::replace_if(
                               result.begin(), result.end(), [](char c) { return c == ':' || c == '-'; },
                               '_');
                           return result;
                         });

// --- parameter counts
// ---------------------------------------------------------------------------------------

TEST(ReferenceNetwork, ParameterCounts) {
  EXPECT_EQ(parameter_count(net_a("bn")), 46010U);
  EXPECT_EQ(parameter_count(net_a("gn:4")), 46010U);
  EXPECT_EQ(parameter_count(net_a("none")), 45818U);
  EXPECT_EQ(parameter_count(net_a("rms")), 46010U - 224U);
  EXPECT_EQ(parameter_count(net_a("ln-elementwise")), 48982U);
  EXPECT_EQ(parameter_count(net_a("rms-elementwise")), 30550U);
  EXPECT_EQ(parameter_count(plain(3, "bn")), 32U * 27 + 2 * 32U * 288 + 3 * 64U + 330U);
}

// --- forced decisions --------------------------------------------------------------------------------------

TEST(ReferenceNetwork, ForcedDecisionsReportTheirMargin) {
  Draw draw(14);
  const Network network = net_a("gn:4", 8, 8, 0.25);
  const Named parameters = random_parameters(draw, network);
  const Tensor x = draw.tensor(2, 3, 8, 8);
  const std::vector<int> labels = random_labels(draw, 2);
  const Pass free = run(network, parameters, x, labels, {});
  Decisions decisions = free.decisions;
  const Pass same = run(network, parameters, x, labels, {}, {true, 0, &decisions});
  EXPECT_EQ(same.forced_differences, 0);
  EXPECT_EQ(same.forced_margin, 0);
  EXPECT_EQ(same.loss.loss, free.loss.loss);
  EXPECT_EQ(same.gradients, free.gradients);

  decisions.relu.at("c10.relu")[3] ^= 1;
  const Pass relu = run(network, parameters, x, labels, {}, {true, 0, &decisions});
  EXPECT_EQ(relu.forced_differences, 1);
  EXPECT_DOUBLE_EQ(relu.forced_margin, std::abs(free.activations.at("c10.norm").v[3]));
  EXPECT_NE(relu.gradients.at("c1.conv.weight"), free.gradients.at("c1.conv.weight"));

  decisions.relu.clear();  // these decide for themselves, so that one disagreement does not cause others
  auto& choice = decisions.pool.at("p2")[0];
  choice = static_cast<std::uint8_t>((choice + 1) % 4);
  const Pass pool = run(network, parameters, x, labels, {}, {true, 0, &decisions});
  EXPECT_EQ(pool.forced_differences, 1);
  const auto candidates = window(free.activations.at("c7.conv"), 0, 0, 0, 0);
  EXPECT_DOUBLE_EQ(pool.forced_margin,
                   candidates.at(free.decisions.pool.at("p2")[0]) - candidates.at(choice));
  EXPECT_NE(pool.gradients.at("c1.conv.weight"), free.gradients.at("c1.conv.weight"));
}

}  // namespace
}  // namespace normlab::reference
