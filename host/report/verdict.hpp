#pragma once
// What a study says, in words, from the numbers of its table.

#include <array>
#include <span>
#include <string>
#include <vector>

#include "host/record/summary.hpp"

namespace normlab {

/// The arm with the highest mean final accuracy; nullptr if no run finished.
[[nodiscard]] const ArmSummary* best_arm(std::span<const ArmSummary> arms);

/// "a", "a and b", "a, b and c".
[[nodiscard]] std::string listed(const std::vector<std::string>& parts);

/// "93.17", from a fraction; "-" for NaN.
[[nodiscard]] std::string percent_text(double fraction);

/// Three sentences: which norm ends highest, at which learning rate where these differ, and by how much over
/// the baseline (bn; where bn itself is best, none; else the second); which reaches the accuracy threshold
/// first; what cannot be told from the best, what diverged or did not finish, and for which norms no rate was
/// found.
[[nodiscard]] std::array<std::string, 3> verdict(std::span<const ArmSummary> arms);

}  // namespace normlab
