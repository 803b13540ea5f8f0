#pragma once
// One pixel of wrap-around on each side.

#include "layers/kernels/kernels.hpp"

namespace normlab {

class CircularPadKernels : public Kernels {
 public:
  virtual void forward(Tensor x, Tensor y) = 0;
  virtual void backward(Tensor dy, Tensor dx) = 0;
};

}  // namespace normlab
