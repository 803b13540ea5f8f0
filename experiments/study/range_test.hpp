#pragma once
// `--lr auto`: a learning rate for each norm from a short test on held-out training images.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "experiments/study/sweep_table.hpp"
#include "experiments/training/run_spec.hpp"

namespace normlab {

/// What the test found for one norm.
struct FoundRate {
  double lr = 0;
  bool learned = false;    ///< better than guessing at that rate; else the smallest rate that did not diverge
  std::string accuracies;  ///< "0.01 43.20 %, 0.02 51.75 %, ..." on the held-out images, by rate
};

/// The held-out images as a guess sees them: always the most frequent class.
struct Guess {
  double share = 0;  ///< of that class
  std::int64_t images = 0;

  /// The highest accuracy that guesses at so many rates have, all but one time in a hundred.
  [[nodiscard]] double highest(std::size_t rates) const;
};

/// The test as a study of its own: its options, images and runs. Each norm of the study's runs trains at each
/// rate of a grid (0.005 to 1, about twofold steps) with the study's first seed, for up to two epochs on up
/// to 4,000 training images, or as many as make 100 steps of a larger batch; up to 1,000 more are held out.
/// The test set is left out.
struct RangeTest {
  static constexpr std::size_t rates = 8;

  RangeTest(const StudyOptions& study, const Dataset& all, std::span<const RunSpec> of);

  /// Norms that learned at no rate of the grid, from these runs of the test.
  [[nodiscard]] std::vector<Norm> without_a_rate(std::span<const RunFigures> runs) const;
  /// Adds the runs of these norms at rates on both sides of the grid, down to 0.0005 and up to 5.
  void widen(const std::vector<Norm>& norms);

  StudyOptions options;
  Dataset data;
  std::vector<RunSpec> runs;
  Guess guess;
};

/// The rate of the highest accuracy for each norm, by its name, the smaller of equals; where none beats a
/// guess, the smallest that did not diverge. Throws Error for a norm that diverged at every rate.
[[nodiscard]] std::map<std::string, FoundRate> best_rates(std::span<const RunFigures> runs,
                                                          const Guess& guess);

/// What was found, a line for each norm.
[[nodiscard]] std::string rates_text(const std::map<std::string, FoundRate>& found);

}  // namespace normlab
