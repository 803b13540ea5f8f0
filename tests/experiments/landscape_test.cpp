// What a run records of its own steps against independent computations in double: the parameters around a
// step, and the loss along the gradient, which must leave everything as it was.

#include "experiments/measure/landscape.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "experiments/measure/diagnostics.hpp"
#include "layers/optimizer.hpp"
#include "tests/support/norm_names.hpp"
#include "tests/support/small_network.hpp"

namespace normlab {
namespace {

using reference::Values;
using test::SmallNetwork;

TEST(ParameterFigures, AreThoseOfTheBuffers) {
  SmallNetwork small("cpu_blocked", "gn:4", true);
  Graph& graph = *small.graph;
  ParameterFigures figures(graph);
  EXPECT_EQ(figures.layers(), (std::vector<std::string>{"b1.conv", "b1.norm", "b2.conv", "b2.norm", "b3.conv",
                                                        "b3.norm", "fc"}));
  Optimizer optimizer(graph, {OptimizerOptions::Kind::sgd, false, 1e-3, 0.01});  // clips
  graph.forward_backward(small.batch());
  const std::vector<float> g(graph.gradients(), graph.gradients() + graph.parameter_count());
  const std::vector<float> w(graph.values(), graph.values() + graph.parameter_count());
  figures.before_update();
  const double whole = optimizer.step({0.1, 0.9});
  figures.after_update();
  double squares = 0;
  for (std::size_t i = 0; i < figures.layers().size(); ++i) {
    double gg = 0, ww = 0, dd = 0;
    for (const Parameter* p : graph.parameters()) {
      if (p->name.substr(0, p->name.rfind('.')) != figures.layers()[i]) continue;
      for (std::size_t e = p->offset; e < p->offset + p->count; ++e) {
        const double change = static_cast<double>(graph.values()[e]) - static_cast<double>(w[e]);
        gg += static_cast<double>(g[e]) * static_cast<double>(g[e]);
        ww += static_cast<double>(w[e]) * static_cast<double>(w[e]);
        dd += change * change;
      }
    }
    EXPECT_NEAR(figures.grad_norm[i], std::sqrt(gg), 1e-12) << i;
    EXPECT_NEAR(figures.weight_norm[i], std::sqrt(ww), 1e-12) << i;
    EXPECT_NEAR(figures.update_ratio[i], std::sqrt(dd / ww), 1e-12) << i;
    EXPECT_GT(figures.update_ratio[i], 0);
    squares += gg;
  }
  EXPECT_NEAR(std::sqrt(squares), whole, 1e-9);
  // And the gradient is the network's.
  const Values expected = small.flat(small.pass(small.parameters).gradients);
  EXPECT_LT(reference::l2_distance(Values(g.begin(), g.end()), expected),
            2e-5 * reference::l2_norm(expected));
}

class LandscapeNorms : public ::testing::TestWithParam<std::string> {};

TEST_P(LandscapeNorms, AgreesWithDoubleAndChangesNothing) {
  constexpr double kRate = 0.02;
  SmallNetwork small("cpu_blocked", GetParam(), true);
  Graph& graph = *small.graph;
  const auto gradient = [&] {
    return graph.forward_backward(small.batch()).loss_sum / SmallNetwork::kSamples;
  };
  gradient();
  const auto bits = [&] {
    return std::tuple(std::vector<float>(graph.values(), graph.values() + graph.parameter_count()),
                      std::vector<float>(graph.gradients(), graph.gradients() + graph.parameter_count()),
                      std::vector<float>(graph.state_values(), graph.state_values() + graph.state_count()));
  };
  const auto before = bits();
  const LandscapeFigures found = measure_landscape(graph, kRate, gradient);
  EXPECT_TRUE(bits() == before);

  const reference::Pass start = small.pass(small.parameters);
  const Values g = small.flat(start.gradients);
  Values losses, changes, smoothness;
  for (int i = 0; i < 10; ++i) {
    const double eta = kRate * (0.5 + 3.5 * i / 9);
    reference::Named moved = small.parameters;
    for (auto& [name, values] : moved) {
      for (std::size_t e = 0; e < values.size(); ++e) values[e] -= eta * start.gradients.at(name)[e];
    }
    const reference::Pass there = small.pass(moved);
    losses.push_back(there.loss.loss);
    changes.push_back(reference::l2_distance(small.flat(there.gradients), g));
    smoothness.push_back(changes.back() / (eta * reference::l2_norm(g)));
  }
  const auto [loss_min, loss_max] = std::minmax_element(losses.begin(), losses.end());
  const auto [change_min, change_max] = std::minmax_element(changes.begin(), changes.end());
  EXPECT_NEAR(found.loss_min, *loss_min, 1e-4 * *loss_min);
  EXPECT_NEAR(found.loss_max, *loss_max, 1e-4 * *loss_max);
  EXPECT_NEAR(found.gradient_min, *change_min, 1e-2 * *change_min);  // a ReLU may flip
  EXPECT_NEAR(found.gradient_max, *change_max, 1e-2 * *change_max);
  const double beta = *std::max_element(smoothness.begin(), smoothness.end());
  EXPECT_NEAR(found.beta, beta, 1e-2 * beta);
  EXPECT_GT(*loss_max - *loss_min, 1e-3 * *loss_max) << "the losses must differ for the test to say anything";
}

INSTANTIATE_TEST_SUITE_P(Norms, LandscapeNorms, ::testing::ValuesIn(test::norm_names()),
                         [](const auto& info) { return test::identifier(info.param); });

TEST(Landscape, WhatIsNotFiniteIsInfinite) {
  SmallNetwork small("cpu_blocked", "gn:4", true);
  small.graph->forward_backward(small.batch());
  const LandscapeFigures found = measure_landscape(*small.graph, 0.1, [] { return std::nan(""); });
  EXPECT_EQ(found.loss_min, std::numeric_limits<double>::infinity());
  EXPECT_EQ(found.loss_max, std::numeric_limits<double>::infinity());
  EXPECT_EQ(found.gradient_max, 0);  // `gradient` left the gradients alone
  EXPECT_EQ(found.beta, 0);
}

TEST(Diagnostics, TakeMemoryOnlyWhereWanted) {
  const auto backend = test::make_test_backend("cpu_blocked", 2);
  const auto megabytes = [&](const char* net, const char* norm, int every) {
    StudyOptions options;
    options.diagnose = every;
    return static_cast<double>(
               diagnosis_memory(options, {.net = net, .norm = Norm::parse(norm)}, *backend, {1, 3, 32, 32})) /
           1e6;
  };
  EXPECT_EQ(megabytes("net_a", "bn", 0), 0);
  EXPECT_LT(megabytes("net_a", "gn:4", 1), 50);
  EXPECT_LT(megabytes("net_a", "bn", 1), 110);
  EXPECT_LT(megabytes("plain:40", "ln", 1), 120);
  EXPECT_LT(megabytes("plain:40", "bn", 1), 200);
}

TEST(DiagnosisSteps, ComeFromTheOptions) {
  const auto steps = [](int every_epochs, const char* listed, int first, int every) {
    StudyOptions options;
    options.diagnose = every_epochs;
    options.diagnose_steps = listed;
    options.diagnose_first = first;
    options.diagnose_every = every;
    const DiagnosisSteps chosen(options, 10);
    std::vector<int> found;
    for (int step = 0; step <= 45; ++step) {
      if (chosen.contains(step)) found.push_back(step);
    }
    EXPECT_EQ(chosen.empty(), found.empty());
    return found;
  };
  EXPECT_EQ(steps(1, "", 0, 0), (std::vector<int>{0, 10, 20, 30, 40}));
  EXPECT_EQ(steps(2, "3,44", 0, 0), (std::vector<int>{0, 3, 20, 40, 44}));
  EXPECT_EQ(steps(0, "7", 0, 0), (std::vector<int>{0, 7}));
  EXPECT_EQ(steps(0, "", 0, 0), std::vector<int>{});
  EXPECT_EQ(steps(0, "", 3, 20), (std::vector<int>{0, 1, 2, 3, 20, 40}));
  StudyOptions options;
  options.diagnose = 0;
  options.landscape_every = 4;
  const DiagnosisSteps landscape(options, 10);
  EXPECT_TRUE(landscape.has_landscape(1) && landscape.has_landscape(5) && !landscape.has_landscape(4));
  EXPECT_EQ(landscape.work(1, 32), 320);
  EXPECT_EQ(landscape.work(2, 32), 0);
}

}  // namespace
}  // namespace normlab
