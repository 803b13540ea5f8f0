#pragma once
// Two studies side by side: what `normlog compare A B` prints. Runs are paired by arm (norm and swept
// settings) and seed, so that initialization and order of images cancel out of the differences.

#include <array>
#include <span>
#include <string>
#include <vector>

#include "host/record/run_results.hpp"
#include "host/record/statistics.hpp"

namespace normlab {

/// One figure over the pairs of an arm in which both sides have it.
struct PairedFigure {
  Estimate a, b;
  Estimate difference;  // of b - a, paired
};

struct ArmComparison {
  std::string arm;
  PairedFigure accuracy;  // on the test split after the last epoch, a fraction
  PairedFigure loss;      // the same pass
  PairedFigure speed;     // training images a second: the median of a run's epochs
};

/// A configuration key whose values differ between paired runs.
struct ConfigDifference {
  std::string key;
  std::string a, b;  // "(none)" where it is absent; by arm where arms differ
};

struct Comparison {
  std::vector<ArmComparison> arms;              // those with a pair, in the order of a's tables
  std::vector<std::string> left_out;            // what was not compared and why, one sentence each
  std::vector<ConfigDifference> settings;       // what decides results
  std::vector<ConfigDifference> circumstances;  // revision, build, device, CPU, threads
};

/// Compares finished runs.
[[nodiscard]] Comparison compare(std::span<const RunResults> a, std::span<const RunResults> b);

/// Tables and notes, ready to print; at most 100 columns for usual names.
[[nodiscard]] std::string comparison_text(const Comparison& comparison, const std::string& name_of_a,
                                          const std::string& name_of_b);

}  // namespace normlab
