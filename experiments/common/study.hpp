#pragma once

#include "experiments/common/options.hpp"
#include "experiments/common/trainer.hpp"

namespace normlab {

/// Trains every run of a study, several side by side, each in a directory of its own; prints what it will do,
/// progress, and where everything lies. Returns the exit status.
int run_study(const StudyOptions& options, const std::vector<RunSpec>& runs);

}  // namespace normlab
