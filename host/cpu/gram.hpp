#pragma once
// Inner products of the samples of a batch, for the diagnostics: similarity_of() takes it from there.

#include <span>
#include <vector>

namespace normlab {

/// K = X X^T, (samples, samples), for `samples` rows of equal length. Products are added in float over
/// stretches of 1,024 elements, and those in double. Throws Error when the sizes do not fit.
[[nodiscard]] std::vector<double> gram(std::span<const float> rows, int samples);

}  // namespace normlab
