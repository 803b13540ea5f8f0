#pragma once
// What a sweep says, in words, from the numbers of its tables.

#include <optional>
#include <string>
#include <vector>

#include "host/report/sweep.hpp"

namespace normlab {

/// A norm counts as trained where every run finished with at least this many times the accuracy of chance.
inline constexpr double trained_over_chance = 2;

/// The largest x at which the line is usable in that sense; none if it is nowhere.
[[nodiscard]] std::optional<double> largest_usable(const SweepLine& line);

/// A few sentences, the first naming the highest accuracy of all. Of batch sizes: where bn is below the first
/// per-sample norm, and by how much each norm varies. Of learning rates: the largest usable one of each norm.
/// Of depths: to which depth each norm trains. Of groups: which is best, and whether the others can be told
/// from it. The last counts the runs that diverged or did not finish, if any.
[[nodiscard]] std::vector<std::string> sweep_verdict(const StudyView& study, const Sweep& sweep);

}  // namespace normlab
