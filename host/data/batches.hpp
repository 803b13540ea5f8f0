#pragma once
// Which images a step sees, and which are held out: pure functions of the seed.

#include <cstdint>
#include <utility>
#include <vector>

namespace normlab {

/// The order in which epoch `epoch` visits `count` images: a random permutation of 0 ... count - 1, keyed by
/// (seed, order, epoch) and by nothing else, so every norm, backend and resumed run sees the same. Throws
/// UsageError when `count` is negative.
std::vector<std::uint32_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, int count);

/// Splits 0 ... count - 1 into (kept, held out), `held_out` of them in the second, both in ascending order,
/// keyed by (seed, validation). Throws UsageError when nothing would be left to train on.
std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>> hold_out(std::uint64_t seed, int count,
                                                                           int held_out);

/// The first `count` (or all) of `images`, shuffled by the seed: what diagnostics look at, the same at every
/// step and for every norm.
std::vector<std::uint32_t> probe_indices(std::uint64_t seed, const std::vector<std::uint32_t>& images,
                                         int count);

}  // namespace normlab
