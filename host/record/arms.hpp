#pragma once
// Which runs of one or several studies belong together: those that differ in nothing but the seed.

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "host/record/run_results.hpp"

namespace normlab {

/// Runs of one norm at one setting.
struct ArmRuns {
  std::vector<std::size_t> runs;                       // as places in what was given, each seed once
  const RunResults* named = nullptr;                   // the one whose directory names the arm
  std::string norm, lr;                                // lr is empty where it is not recorded
  std::map<std::string, std::string> setting, others;  // what any of the runs sweeps; all but norm and rate
  bool sweeps_lr = false;                              // each of its runs is of a sweep of rates
  std::string name;                                    // gn4, bn-b2; unique
  std::string label;  // the norm as typed where that says all, else the name, and what differs: bn lr=0.02

  [[nodiscard]] bool holds(const ArmRuns& other) const {
    return norm == other.norm && lr == other.lr && others == other.others;
  }
};

/// The arms in the order of their first runs. A run that is there more than once (distinct_runs) counts once.
[[nodiscard]] std::vector<ArmRuns> arms_of(std::span<const RunResults> runs);

/// Keys of config.toml in which arms differ though nothing says that they are swept: what runs of different
/// studies do not have in common. The learning rate is among them only where one norm has several.
[[nodiscard]] std::vector<std::string> pooled_settings(std::span<const RunResults> runs);

/// "a=1 b=2".
[[nodiscard]] std::string text_of(const std::map<std::string, std::string>& settings);

}  // namespace normlab
