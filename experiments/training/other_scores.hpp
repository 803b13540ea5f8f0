#pragma once
// A trained network on the test set with other statistics than its running ones.

#include <functional>

#include "experiments/training/run_log.hpp"
#include "experiments/training/run_steps.hpp"

namespace normlab {

struct OtherScores {
  Score of_batches;   ///< with the statistics of each batch
  Score reestimated;  ///< with running statistics averaged over the training images
};

/// For a network that has running statistics, which are in the end what they were. `size`: samples of a
/// pass; `before_pass` is called with their number. `evaluate` tests with the running statistics.
[[nodiscard]] OtherScores other_scores(RunSteps& run, int size, const std::function<void(int)>& before_pass,
                                       const std::function<Score()>& evaluate);

}  // namespace normlab
