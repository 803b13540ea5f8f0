#pragma once
// The mean over all pixels of each channel.

#include "layers/kernels/kernels.hpp"

namespace normlab {

class GlobalAvgPoolKernels : public Kernels {
 public:
  virtual void forward(Tensor x, Tensor y) = 0;
  virtual void backward(Tensor dy, Tensor dx) = 0;
};

}  // namespace normlab
