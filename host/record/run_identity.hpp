#pragma once
// Which runs are the same: a run is all of its settings and its seed, however often and wherever it was made.

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/record/run_results.hpp"

namespace normlab {

/// Whether a key of config.toml says on what a run was made: it may change the last bits of its result.
[[nodiscard]] bool is_circumstance(std::string_view key);

/// What decides the result of a run, by key, but for its norm and its seed. Left out are circumstances, names
/// and places, what was only looked at, and what follows from other keys. Data are known by their digest.
/// Keys that older versions did not write have the value that these versions had.
[[nodiscard]] std::map<std::string, std::string> deciding_settings(const RunConfig& config);

/// The runs of a pool of studies that count.
struct DistinctRuns {
  std::vector<std::size_t> kept;       // each run once: the first that ended, in the order given
  std::vector<std::string> sentences;  // what was found more than once, and where its results differ
};

/// What follows such a sentence where only what was kept is shown.
inline constexpr std::string_view which_counts = "Of each only the first that ended counts.";

[[nodiscard]] DistinctRuns distinct_runs(std::span<const RunResults> runs);

}  // namespace normlab
