#pragma once
// How alike the samples of a batch look to a layer: what collapses when a network without normalization gets
// deep (Daneshmand et al. 2020; Lubana et al. 2021).

#include <span>

namespace normlab {

struct Similarity {
  double cosine = 0;       ///< mean over all pairs of two samples, uncentred; NaN below two samples
  double stable_rank = 0;  ///< tr(K) / ||K||_2, from 1 (all alike) to the number of samples (all orthogonal)
};

/// Of `samples` rows of equal length in `activations`. K is the Gram matrix of the rows, each scaled to
/// length 1; a row of zeros has no direction: it stays zero, and its cosines count as 0. The stable rank is
/// NaN when all rows are zero. Sums run in double. Throws Error when the sizes do not fit.
[[nodiscard]] Similarity similarity(std::span<const float> activations, int samples);
/// The same from the rows' inner products (samples, samples), however they were computed. NaN where one of
/// them is not finite.
[[nodiscard]] Similarity similarity_of(std::span<const double> products, int samples);

}  // namespace normlab
