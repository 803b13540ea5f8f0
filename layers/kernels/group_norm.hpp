#pragma once
// Layer, group, instance and RMS norm: one family.

#include "layers/kernels/kernels.hpp"
#include "layers/kernels/statistics.hpp"

namespace normlab {

/// The statistics of one sample run over groups of c / groups channels and all pixels.
///   y = act(gamma * (x - mean) * rstd + beta)
/// Wu & He, "Group normalization" (ECCV 2018). groups = 1 is layer norm, groups = c instance norm.
/// `centered` false drops the mean (RMS norm, Zhang & Sennrich 2019): rstd = 1 / sqrt(mean(x^2) + eps).
struct GroupNormSpec {
  int groups = 1;
  bool centered = true;
  bool elementwise = false;  ///< gamma and beta per element (c, h, w), in the backend's own layout.
  bool relu = false;

  /// Throws Error where the groups do not divide so many channels.
  void check(int channels) const;
};

struct GroupNormForward {
  GroupNormSpec spec;
  Tensor x;
  const float* gamma = nullptr;
  const float* beta = nullptr;  ///< null: none.
  Tensor y;
  Statistics* statistics = nullptr;  ///< out, (n, groups)
};

/// With dz = dy where the activation passed and z^ = (x - mean) * rstd, over each group of m values:
///   dx = rstd * (gamma dz - mean(gamma dz) - z^ mean(gamma dz z^)),  dgamma += sum(dz z^),  dbeta += sum(dz)
/// (RMS: without the mean(gamma dz) term.)
struct GroupNormBackward {
  GroupNormSpec spec;
  Tensor x;
  const Statistics* statistics = nullptr;
  const float* gamma = nullptr;
  const float* beta = nullptr;
  Tensor dy;
  Tensor dx;
  float* dgamma = nullptr;  ///< accumulated
  float* dbeta = nullptr;   ///< accumulated; null: none
};

class GroupNormKernels : public Kernels {
 public:
  /// Throws Error where the group norm of such samples cannot be computed.
  virtual void check(const GroupNormSpec& spec, Shape x, DataType /*type*/) const { spec.check(x.c); }
  virtual void forward(const GroupNormForward& args) = 0;
  virtual void backward(const GroupNormBackward& args) = 0;
  /// Per-element parameters: from PyTorch's (c, h, w) into the layout of activations that are stored as
  /// `type`, and gradients back. They themselves are floats.
  virtual void pack_elementwise(const float* values, Shape shape, DataType type, float* packed) = 0;
  virtual void unpack_elementwise(const float* packed, Shape shape, DataType type, float* values) = 0;
};

}  // namespace normlab
