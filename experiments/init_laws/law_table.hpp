#pragma once
// The table of init_laws: what was measured, what is known, and whether the two agree.

#include <span>
#include <string>

#include "experiments/measure/laws.hpp"

namespace normlab {

/// One network at one seed.
struct LawRun {
  LawNetwork network;
  std::uint64_t seed = 0;
  Laws laws;
  bool is_measured = false;  ///< by an earlier call
};

[[nodiscard]] inline std::string padding_name(bool circular) {
  return circular ? "circular" : "zero";
}

/// Prints a line for each law of each kind of network, then how many known figures were reproduced, and what
/// theory says of batch norm. Runs of one kind must lie together.
void print_table(std::span<const LawRun> runs);

}  // namespace normlab
