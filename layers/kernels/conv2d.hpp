#pragma once
// Convolutions.

#include <cstddef>
#include <memory>

#include "layers/kernels/kernels.hpp"

namespace normlab {

/// y = x * w (+ bias), cross-correlation as in PyTorch, for samples of shape (c, h, w).
struct Conv2dSpec {
  Shape x;  ///< n is the largest number of samples in one call.
  int out_channels = 0;
  int kernel = 3;
  int stride = 1;
  int padding = 1;
  bool bias = false;
  Layout x_layout = Layout::native;
  bool needs_dx = true;
  DataType type = DataType::f32;  ///< of x, y and their gradients

  /// Throws Error for a convolution that there cannot be.
  void check() const;
  /// Of a spec that passes check().
  [[nodiscard]] Shape y() const {
    return {x.n, out_channels, (x.h + 2 * padding - kernel) / stride + 1,
            (x.w + 2 * padding - kernel) / stride + 1};
  }
};

/// A prepared convolution: descriptors, algorithms and packed formats are fixed when it is made. It may be
/// executed by several workers at once, each with a scratch of its own, for any n up to the spec's.
class Conv2dPlan {
 public:
  virtual ~Conv2dPlan() = default;
  /// Floats of the weights (and bias) in the formats that the device wants, and of their gradients.
  [[nodiscard]] virtual std::size_t packed_values() const = 0;
  [[nodiscard]] virtual std::size_t packed_gradients() const = 0;
  [[nodiscard]] virtual std::size_t scratch_bytes() const = 0;
  /// From PyTorch's layout (out, in, kernel, kernel) into `packed`, once a step. bias may be null.
  virtual void pack(const float* weight, const float* bias, float* packed) = 0;
  /// From accumulated packed gradients back (overwrites).
  virtual void unpack(const float* packed_gradients, float* dweight, float* dbias) = 0;

  virtual void forward(Tensor x, const float* packed, Tensor y, void* scratch, int worker) = 0;
  /// Overwrites dx.
  virtual void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int worker) = 0;
  /// Accumulates into packed_gradients.
  virtual void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch, int worker) = 0;
};

class Conv2dKernels : public Kernels {
 public:
  /// Throws Error where there cannot be such a convolution.
  [[nodiscard]] virtual std::unique_ptr<Conv2dPlan> plan(const Conv2dSpec& spec) = 0;
};

}  // namespace normlab
