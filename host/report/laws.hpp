#pragma once
// What theory says of a network at initialization, and what the experiment init_laws found.

#include <optional>
#include <string>
#include <vector>

#include "host/report/study_view.hpp"

namespace normlab {

/// A quantity that init_laws measures once a run.
struct Law {
  std::string channel;  // law.growth
  std::string title;
  int digits;  // worth printing
};

[[nodiscard]] const std::vector<Law>& laws();

/// Growth of the gradient norm per layer, going back, under batch norm and ReLU in theory: sqrt(pi / (pi -
/// 1)) (Yang et al. 2019).
inline constexpr double theory_growth_bn = 1.2111738962;

/// Over the seeds of an arm that finished; n = 0 if none recorded it.
[[nodiscard]] Estimate law_of(const ArmView& arm, const Law& law);

/// Whether any arm recorded any law.
[[nodiscard]] bool has_laws(const StudyView& study);

/// A line for each arm with mean ± standard error of each law, for the terminal.
[[nodiscard]] std::string laws_text(const StudyView& study);

}  // namespace normlab
