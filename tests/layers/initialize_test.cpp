#include <algorithm>

#include "layers/initialize.hpp"

#include "layers/networks.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

struct Drawn {
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, Parameter> parameters;
};

Drawn draw(const std::string& scheme, const std::string& norm, std::uint64_t seed,
           const std::string& net = "net_a") {
  const auto backend = test::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, 3, 32, 32});
  build_network(graph, {net, Norm::parse(norm)});
  graph.setup({.batch = 1});
  initialize(graph, parse_initialization(scheme), seed);
  Drawn drawn;
  for (const Parameter* p : graph.parameters()) {
    const float* first = graph.values() + p->offset;
    drawn.values[p->name].assign(first, first + p->count);
    drawn.parameters[p->name] = *p;
  }
  return drawn;
}

TEST(Initialize, VariancesAreThoseOfTheScheme) {
  for (const std::string scheme : {"he", "lecun", "xavier", "torch", "orthogonal"}) {
    const Drawn drawn = draw(scheme, "bn", 1);
    for (const auto& [name, values] : drawn.values) {
      const Parameter& p = drawn.parameters.at(name);
      double sum = 0, squares = 0;
      for (const float value : values) {
        sum += static_cast<double>(value);
        squares += static_cast<double>(value) * static_cast<double>(value);
      }
      const auto count = static_cast<double>(values.size());
      if (p.role == Role::gamma) {
        EXPECT_EQ(sum, count) << name;
      } else if (p.role == Role::beta || (p.role == Role::bias && scheme != "torch")) {
        EXPECT_EQ(squares, 0) << name;
      }
      if (p.role != Role::weight || count < 400) continue;
      const double variance = scheme == "he"       ? 2.0 / p.fan_in
                              : scheme == "lecun"  ? 1.0 / p.fan_in
                              : scheme == "xavier" ? 2.0 / (p.fan_in + p.fan_out)
                              : scheme == "torch"  ? 1.0 / (3.0 * p.fan_in)
                                                   : 2.0 / std::max(p.fan_in, p.dims[0]);
      EXPECT_NEAR(squares / count, variance, 0.25 * variance) << scheme << " " << name;
      EXPECT_LT(std::abs(sum / count), 5 * std::sqrt(variance / count)) << scheme << " " << name;
    }
  }
}

TEST(Initialize, TorchDrawsBiasesToo) {
  const std::vector<float> bias = draw("torch", "none", 1).values.at("c2.conv.bias");
  for (const float value : bias) EXPECT_LE(std::abs(value), 1 / std::sqrt(16.0F * 9));
  EXPECT_NE(bias[0], bias[1]);
}

TEST(Initialize, OrthogonalRowsAreOrthogonal) {
  const std::vector<float> w = draw("orthogonal", "bn", 1).values.at("c6.conv.weight");  // 32 x 288
  for (std::size_t a = 0; a < 32; ++a) {
    for (std::size_t b = 0; b < 32; ++b) {
      double dot = 0;
      for (std::size_t k = 0; k < 288; ++k)
        dot += static_cast<double>(w[a * 288 + k]) * static_cast<double>(w[b * 288 + k]);
      EXPECT_NEAR(dot, a == b ? 2.0 : 0.0, 1e-6);
    }
  }
}

TEST(Initialize, NormsShareConvolutionsAndSeedsDoNot) {
  const Drawn bn = draw("he", "bn", 4), in = draw("he", "in", 4), other = draw("he", "bn", 5);
  for (const char* name : {"c1.conv.weight", "c7.conv.weight", "c11.conv.weight"}) {
    EXPECT_EQ(bn.values.at(name), in.values.at(name));
    EXPECT_NE(bn.values.at(name), other.values.at(name));
  }
  EXPECT_NE(bn.values.at("c9.conv.weight"), bn.values.at("c10.conv.weight"));
}

TEST(Initialize, AnUnknownNameIsRefused) {
  EXPECT_THROW(static_cast<void>(parse_initialization("kaiming")), UsageError);
}

}  // namespace
}  // namespace normlab
