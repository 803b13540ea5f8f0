#pragma once
// What a study will take, from trying each kind of run for a moment.

#include <map>
#include <span>
#include <string>

#include "experiments/progress/time_estimate.hpp"
#include "experiments/training/run_spec.hpp"

namespace normlab {

/// Makes plans, and tries no kind of run twice.
class Planner {
 public:
  Planner(const StudyOptions& options, const Dataset& data) : options_(options), data_(data) {}

  /// What there is to do, and how many runs go on side by side: as wanted, or one on each processor, as long
  /// as there is memory for them. Stops trying when the user does not want to go on.
  [[nodiscard]] StudyPlan plan(std::span<const RunSpec> runs);

 private:
  struct Needs {
    RunKind kind;
    std::size_t memory = 0;  ///< bytes
  };

  [[nodiscard]] Needs measure(const RunSpec& spec) const;
  [[nodiscard]] int runs_side_by_side(int runs, std::size_t bytes_of_one) const;

  const StudyOptions& options_;
  const Dataset& data_;
  std::map<std::string, Needs> known_;  ///< by RunSpec::kind()
};

}  // namespace normlab
