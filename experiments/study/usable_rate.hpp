#pragma once
// How far up a learning rate can go.

#include <span>
#include <string>
#include <vector>

#include "experiments/study/sweep_table.hpp"

namespace normlab {

/// What a grid of rates says about one norm (at one width).
struct UsableRate {
  std::string arm;          ///< the norm, and what else was swept: "bn, width 2"
  double best = 0;          ///< the rate of the highest held-out accuracy; 0: it diverged everywhere
  double accuracy = 0;      ///< there; a fraction
  double largest = 0;       ///< the largest usable rate
  bool at_the_end = false;  ///< the largest of the grid: more might do
};

/// A rate is usable where every seed finished and the mean accuracy on the training images held out, after
/// the last epoch, is at most usable_within below the best rate's.
[[nodiscard]] std::vector<UsableRate> usable_rates(std::span<const RunFigures> runs);

/// For people.
[[nodiscard]] std::string usable_rates_text(std::span<const UsableRate> rates);

}  // namespace normlab
