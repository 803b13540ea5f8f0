#pragma once
// The embedded set: ten figures on cluttered grounds, drawn from a seed. It needs no download, and its bytes
// are the same on every machine.

#include <cstdint>

#include "host/data/dataset.hpp"

namespace normlab {

inline constexpr int synthetic_train_images = 10'000;
inline constexpr int synthetic_test_images = 2'000;

/// Draws the synthetic set. Image i of a split depends on (seed, split, i) alone, so a smaller set is the
/// beginning of a larger one; every ten images in a row show each class once. Throws UsageError when a count
/// is below 1.
Dataset make_synthetic(std::uint64_t seed = 0, int train_images = synthetic_train_images,
                       int test_images = synthetic_test_images);

}  // namespace normlab
