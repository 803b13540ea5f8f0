#pragma once
// --profile-steps: which steps of a run a GPU's profilers look at.

#include <cstdint>
#include <string>

namespace normlab {

/// Steps of a run, from 1: both are in it.
struct StepRange {
  std::int64_t first = 1, last = 0;

  /// From "100:102"; empty from "". Throws UsageError.
  [[nodiscard]] static StepRange parse(const std::string& text);
  [[nodiscard]] bool empty() const { return last < first; }
  [[nodiscard]] bool contains(std::int64_t step) const { return step >= first && step <= last; }
};

}  // namespace normlab
