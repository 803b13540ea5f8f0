#pragma once
// `--lr auto`: a learning rate for each norm from a short test on held-out training images.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "experiments/common/run_spec.hpp"
#include "experiments/common/sweep_table.hpp"

namespace normlab {

/// What the test found for one norm.
struct FoundRate {
  double lr = 0;
  std::string accuracies;  ///< "0.01 43.20 %, 0.02 51.75 %, ..." on the held-out images, by rate
};

/// The test as a study of its own: its options, images and runs. Each norm of the study's runs trains at each
/// rate of a grid (0.005 to 1, about twofold steps) with the study's first seed, for up to two epochs on up
/// to 4,000 training images, or as many as make 100 steps of a larger batch; up to 1,000 more are held out.
/// The test set is left out.
struct RangeTest {
  RangeTest(const StudyOptions& study, const Dataset& all, std::span<const RunSpec> of);

  StudyOptions options;
  Dataset data;
  std::vector<RunSpec> runs;
};

/// The rate of the highest accuracy for each norm, by its name, the smaller of equals. Throws Error for a
/// norm that diverged at every rate.
[[nodiscard]] std::map<std::string, FoundRate> best_rates(std::span<const RunFigures> runs);

}  // namespace normlab
