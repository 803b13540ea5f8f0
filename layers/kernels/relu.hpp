#pragma once
// y = max(x, 0).

#include "layers/kernels/kernels.hpp"

namespace normlab {

class ReluKernels : public Kernels {
 public:
  virtual void forward(Tensor x, Tensor y) = 0;
  virtual void backward(Tensor y, Tensor dy, Tensor dx) = 0;
};

}  // namespace normlab
