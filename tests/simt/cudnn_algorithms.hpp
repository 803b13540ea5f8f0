#pragma once
// Which algorithms there are for a convolution, what workspace they want, and whether they repeat.

#include <cstddef>

#include "tests/simt/cudnn.hpp"
#include "tests/simt/cudnn_loops.hpp"

namespace simt {

/// A convolution whose descriptors agree.
struct Problem2d {
  Strided x, w, y;
  Convolution shape;
  cudnnMathType_t math;
  bool channels_last;
};
/// Throws CudnnError where they do not.
Problem2d check_convolution(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                            cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y);

enum class Direction { kForward, kBackwardData, kBackwardFilter };

struct AlgorithmInfo {
  bool supported, deterministic;
  std::size_t workspace;
};
[[nodiscard]] AlgorithmInfo algorithm_info(Direction direction, int algorithm, const Problem2d& problem);
/// Throws CudnnError if it is not supported.
[[nodiscard]] AlgorithmInfo find_algorithm(Direction direction, int algorithm, const Problem2d& problem);

}  // namespace simt
