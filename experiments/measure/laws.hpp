#pragma once
// Laws at initialization: what a deep network does to gradients and to the differences between samples before
// it has learnt anything. Experiment init_laws shows them, tests/experiments/init_laws_test.cpp checks them.

#include <cstdint>
#include <string>
#include <vector>

#include "layers/networks.hpp"

namespace normlab {

/// Blocks of 3x3 convolution without bias, norm (gamma 1, beta 0) and ReLU on square maps; He initialization,
/// input (samples, 3, size, size) from N(0, 1), and the gradient of the loss at the last block's output from
/// N(0, 1), too.
struct LawNetwork {
  Norm norm;
  bool circular = true;  ///< padding: the map's other edge, or zeros
  int depth = 30;
  int channels = 64;
  int size = 8;
  int samples = 64;
};

/// What one network at initialization shows. g_l is the gradient at the output of convolution l.
struct Laws {
  double growth = 0;       ///< of the gradient's norm per layer, going back: (||g_3|| / ||g_25||)^(1/22)
  double cosine = 0;       ///< mean between the last block's outputs of two samples
  double stable_rank = 0;  ///< of their Gram matrix, see layers/similarity.hpp

  /// By layer, in order of the network.
  struct PerLayer {
    std::vector<std::string> names;
    std::vector<double> values;
  };
  PerLayer convolution_grad_norm;                 ///< ||g_l||, names b1.conv ...
  PerLayer output_grad_norm;                      ///< the same at the outputs of blocks, b1.norm ...
  PerLayer activation_mean, activation_variance;  ///< of the outputs of blocks
  PerLayer cosines, stable_ranks;                 ///< of the outputs of blocks
};

/// The layers between which the growth is taken: far from both ends.
inline constexpr int kGrowthFirst = 3, kGrowthLast = 25;

/// One forward and backward pass. Throws Error for a network of fewer than kGrowthLast blocks.
[[nodiscard]] Laws measure_laws(Backend& backend, const LawNetwork& network, std::uint64_t seed);

}  // namespace normlab
