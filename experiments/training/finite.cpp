#include "experiments/training/finite.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace normlab {

std::vector<std::string> not_finite(Graph& graph) {
  std::vector<float> values(graph.parameter_count()), states(graph.state_count());
  graph.backend().to_host(graph.values(), values.data(), values.size() * sizeof(float));
  graph.backend().to_host(graph.state_values(), states.data(), states.size() * sizeof(float));
  std::vector<std::string> names;
  const auto check = [&](const auto& array, std::span<const float> flat) {
    if (!std::ranges::all_of(flat.subspan(array.offset, array.count),
                             [](float value) { return std::isfinite(value); }))
      names.push_back(array.name);
  };
  for (const Node& node : graph.nodes()) {
    const Layer& layer = *node.layer;
    for (const Parameter& parameter : layer.parameters()) check(parameter, values);
    for (const State& state : layer.states()) check(state, states);
  }
  return names;
}

std::string not_finite_text(std::span<const std::string> what) {
  constexpr std::size_t kNamed = 3;
  if (what.size() == 1) return what.front() + " is not finite";
  const std::size_t named = what.size() > kNamed + 1 ? kNamed : what.size() - 1;
  const std::string last =
      named + 1 == what.size() ? what.back() : fmt::format("{} more", what.size() - named);
  return fmt::format("{} and {} are not finite", fmt::join(what.first(named), ", "), last);
}

}  // namespace normlab
