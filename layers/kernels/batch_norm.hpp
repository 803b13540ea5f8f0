#pragma once
// Batch norm, in parts or by a library.

#include <memory>

#include "layers/kernels/kernels.hpp"
#include "layers/kernels/statistics.hpp"

namespace normlab {

/// Batch norm (Ioffe & Szegedy 2015) couples the samples of a batch, so each pass has three parts: sums of
/// one shard, one reduction over all shards in fixed order, and the elementwise rest.
struct BatchNormArgs {
  Tensor x;
  const Statistics* statistics = nullptr;  ///< (c), the whole batch's
  const float* gamma = nullptr;
  const float* beta = nullptr;
  bool relu = false;
};

/// One shard's contribution to one channel's statistics: mean = shift + mean over the shard's n*h*w values
/// and m2 = sum of squared deviations from it.
struct BatchNormPartial {
  float shift, mean, m2;
};

/// One shard's contribution to one channel's gradient: sums over its values of dz and dz * (x - mean) * rstd.
struct BatchNormGradientPartial {
  float dbeta, dgamma;
};

struct BatchNormReduce {
  const BatchNormPartial* partials = nullptr;  ///< (shards, c)
  int shards = 0;
  int shard_samples = 0;  ///< samples in every shard but the last
  int samples = 0;        ///< in the batch
  Shape x;
  Statistics* statistics = nullptr;  ///< out, (c)
  float* running_mean = nullptr;     ///< updated
  float* running_var = nullptr;      ///< updated with the unbiased variance
};

struct BatchNormGradientReduce {
  const BatchNormGradientPartial* partials = nullptr;  ///< (shards, c)
  int shards = 0;
  int samples = 0;
  Shape x;
  BatchNormGradientPartial* means = nullptr;  ///< out, (c): the sums over n*h*w of the batch
  float* dgamma = nullptr;                    ///< accumulated
  float* dbeta = nullptr;                     ///< accumulated
};

/// Batch norm that a library computes as a whole, for samples of shape (c, h, w).
struct BatchNormSpec {
  Shape x;
  bool relu = false;
  DataType type = DataType::f32;  ///< of x, y and their gradients
};

/// What such a batch norm works with, all of it (c).
struct BatchNormParameters {
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float* running_mean = nullptr;
  float* running_var = nullptr;
};

/// Batch norm by a library that takes a whole batch in one call: the statistics stay in the library's own
/// form from the training pass to its backward pass.
class BatchNormPlan {
 public:
  virtual ~BatchNormPlan() = default;
  /// Normalizes by the batch's statistics and updates the running ones.
  virtual void forward(Tensor x, const BatchNormParameters& parameters, Tensor y) = 0;
  /// Normalizes by the running statistics.
  virtual void evaluate(Tensor x, const BatchNormParameters& parameters, Tensor y) = 0;
  /// Of the last forward(). Overwrites dx, if it is wanted; dgamma and dbeta accumulate.
  virtual void backward(Tensor x, const BatchNormParameters& parameters, Tensor dy, Tensor dx, float* dgamma,
                        float* dbeta) = 0;
};

class BatchNormKernels : public Kernels {
 public:
  /// Null where batch norm is computed in the parts below, which is the default everywhere. Throws Error
  /// where the library cannot take the shape.
  [[nodiscard]] virtual std::unique_ptr<BatchNormPlan> plan(const BatchNormSpec& spec) = 0;
  virtual void partial(Tensor x, BatchNormPartial* partial) = 0;
  virtual void reduce(const BatchNormReduce& args) = 0;
  virtual void forward(const BatchNormArgs& args, Tensor y) = 0;
  virtual void gradient_partial(const BatchNormArgs& args, Tensor dy, BatchNormGradientPartial* partial) = 0;
  virtual void gradient_reduce(const BatchNormGradientReduce& args) = 0;
  virtual void backward(const BatchNormArgs& args, const BatchNormGradientPartial* means, Tensor dy,
                        Tensor dx) = 0;
  /// Statistics of evaluation, from the running mean and variance of c channels.
  virtual void running(const float* mean, const float* var, int c, Statistics* statistics) = 0;
};

}  // namespace normlab
