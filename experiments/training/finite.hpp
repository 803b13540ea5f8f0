#pragma once
// What of a run is not finite: a number that says nothing any more, and spoils those that are made of it.

#include <span>
#include <string>
#include <vector>

#include "layers/graph.hpp"

namespace normlab {

/// The names of all parameters and running statistics that hold a NaN or an infinity, in the order of the
/// network. Reads them from the device.
[[nodiscard]] std::vector<std::string> not_finite(Graph& graph);

/// "the test loss after epoch 2 is not finite", "c1.conv.weight, c1.norm.weight, c1.norm.bias and 20 more are
/// not finite". `what` names at least one thing.
[[nodiscard]] std::string not_finite_text(std::span<const std::string> what);

}  // namespace normlab
