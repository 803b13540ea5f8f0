#pragma once
// The joint of residual branches.

#include "layers/kernels/kernels.hpp"

namespace normlab {

class AddKernels : public Kernels {
 public:
  /// y = a + b; y may be a or b.
  virtual void forward(Tensor a, Tensor b, Tensor y) = 0;
};

}  // namespace normlab
