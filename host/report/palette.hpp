#pragma once
// The colour of each norm: the same in every picture and table.

#include <string>
#include <string_view>

namespace normlab {

/// "#rrggbb" for a norm as typed. After Okabe and Ito, darkened where that is needed to read on white and on
/// black alike; gn:G is green, darker for few groups and lighter for many. Unknown norms share a brown.
[[nodiscard]] std::string norm_color(std::string_view norm);

/// The colour mixed with white (amount > 0) or black (amount < 0); amount in [-1, 1].
[[nodiscard]] std::string shade(std::string_view color, double amount);

/// From the first layer (0: violet) over magenta to the last (1: amber); readable on white and on black.
[[nodiscard]] std::string depth_color(double depth);

}  // namespace normlab
