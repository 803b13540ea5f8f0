#pragma once
// 2x2 windows, stride 2.

#include "layers/kernels/kernels.hpp"

namespace normlab {

class MaxPoolKernels : public Kernels {
 public:
  /// The first maximum in row order wins, forward and backward.
  virtual void forward(Tensor x, Tensor y) = 0;
  virtual void backward(Tensor x, Tensor dy, Tensor dx) = 0;
};

}  // namespace normlab
