#pragma once
// Fully connected layers.

#include "layers/kernels/kernels.hpp"

namespace normlab {

/// y = x w^T + b with w (out, in), for x of shape (n, in, 1, 1).
struct LinearForward {
  Tensor x;
  const float* weight = nullptr;
  const float* bias = nullptr;
  Tensor y;
};

struct LinearBackward {
  Tensor x;
  const float* weight = nullptr;
  Tensor dy;
  Tensor dx;                 ///< empty: not wanted
  float* dweight = nullptr;  ///< accumulated; null, as dbias: not wanted
  float* dbias = nullptr;    ///< accumulated
};

class LinearKernels : public Kernels {
 public:
  virtual void forward(const LinearForward& args) = 0;
  virtual void backward(const LinearBackward& args) = 0;
};

}  // namespace normlab
