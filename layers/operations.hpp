#pragma once
// Argument structures of the backend's primitives. Names are the field's: x, y, dx, dy, gamma, beta, mean,
// rstd. Tensors may live on a device; scalars and flags are host values.

#include <array>
#include <cstddef>
#include <cstdint>

#include "layers/tensor.hpp"

namespace normlab {

/// Inside the root of every normalization: rstd = 1 / sqrt(var + eps). Equal on every backend.
inline constexpr float kEpsilon = 1e-5F;
/// running = (1 - momentum) * running + momentum * batch statistic (PyTorch's convention).
inline constexpr float kRunningMomentum = 0.1F;

/// Statistics are kept *shifted*: the mean of x is shift + mean, where shift is that mean as a float and mean
/// the rest. What gets scaled is (x - shift) - mean, so neither a large mean nor a constant input costs
/// accuracy.
struct Statistics {
  float shift, mean, rstd;
};

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

/// Where random crop and flip put a sample: keyed by (seed, epoch, sample), equal on every backend.
struct Augmentation {
  bool enabled = false;  ///< pad 4, random crop, horizontal flip
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
};

/// Images that were stored on the device as bytes, channel planes (count, c, h, w), with their labels.
struct ImageSet {
  const std::uint8_t* pixels = nullptr;
  const std::uint8_t* labels = nullptr;
  int count = 0, c = 0, h = 0, w = 0;
};

/// x = (byte / 255 - mean) / std per channel, for samples `indices[0 .. x.shape.n)`; padding has byte 0.
struct LoadImages {
  const ImageSet* images = nullptr;
  const std::uint32_t* indices = nullptr;
  Augmentation augmentation;
  const std::uint32_t* epoch = nullptr;  ///< the augmentation's, on the device; null: as it stands there
  std::array<float, 3> mean{}, std{};
  Tensor x;
};

/// Cross-entropy of softmax(logits) against labels smoothed by s: target (1 - s) onehot + s / classes.
/// For each sample: its loss, the predicted class, that class's probability; and dlogits times `scale`.
struct SoftmaxCrossEntropy {
  Tensor logits;
  const std::int32_t* labels = nullptr;
  float label_smoothing = 0;
  float scale = 1;
  Tensor dlogits;  ///< empty: not wanted
  float* loss = nullptr;
  std::int32_t* predicted = nullptr;
  float* confidence = nullptr;
};

/// Whether a class whose logit is b is predicted rather than one before it, whose logit is a: NaN counts as
/// the largest, as in PyTorch's argmax.
[[nodiscard]] constexpr bool is_larger(double b, double a) {
  return b > a || (b != b && a == a);
}

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

/// The rates of one optimizer step as kernels want them. They change from step to step and are read from the
/// device's memory.
struct StepRates {
  float lr = 0;
  float momentum = 0;      ///< AdamW: beta1
  float keep = 0;          ///< SGD: of the velocity; momentum, but 0 on the first step
  float step_size = 0;     ///< AdamW: lr / (1 - beta1^t)
  float second_scale = 0;  ///< AdamW: 1 / sqrt(1 - beta2^t)
};

/// What a step takes that the one before did not: a row of a table on the device.
struct StepInput {
  std::uint32_t first = 0;  ///< of its samples, in the order of the epoch
  std::uint32_t epoch = 0;  ///< for the augmentation
  StepRates rates;
};

/// What a step found: a row of another.
struct StepSums {
  double loss_sum = 0;      ///< over its samples
  double squared_norm = 0;  ///< of the gradient
  std::int64_t correct = 0;
};

/// *input = inputs[*next], and of its samples those from `offset` on: indices[i] = order[first + offset + i],
/// labels[i] = all_labels[indices[i]].
struct TakeSamples {
  const StepInput* inputs = nullptr;
  const std::uint32_t* next = nullptr;  ///< the row of the step that runs
  StepInput* input = nullptr;
  const std::uint32_t* order = nullptr;
  const std::uint8_t* all_labels = nullptr;  ///< of the image set
  int offset = 0, count = 0;
  std::uint32_t* indices = nullptr;
  std::int32_t* labels = nullptr;
};

/// sum->loss_sum and sum->correct: those of `count` samples, on top of what stands there unless it `begins`.
struct AddResults {
  const float* loss = nullptr;
  const std::int32_t* predicted = nullptr;
  const std::int32_t* labels = nullptr;
  int count = 0;
  bool begins = true;
  StepSums* sum = nullptr;
};

/// results[*next] = *result; ++*next.
struct EndStep {
  const StepSums* result = nullptr;
  StepSums* results = nullptr;
  std::uint32_t* next = nullptr;
};

/// What the gradient is scaled by where its norm may be at most `clip` (0: anything), as
/// torch.nn.utils.clip_grad_norm_ does it.
[[nodiscard]] constexpr float clip_scale(double norm, double clip) {
  const double scale = clip > 0 ? clip / (norm + 1e-6) : 1.0;
  return scale >= 1 ? 1.0F : static_cast<float>(scale);  // NaN stays
}

/// SGD as in PyTorch: g += decay w; v = keep v + g; w -= lr (nesterov ? g + momentum v : v).
struct SgdStep {
  float* w = nullptr;
  const float* g = nullptr;
  float* v = nullptr;
  std::size_t count = 0;
  const StepRates* rates = nullptr;
  const double* squared_norm = nullptr;  ///< of g, for `clip`
  double clip = 0;
  float weight_decay = 0;
  bool nesterov = false;
};

/// AdamW (Loshchilov & Hutter 2019) as in PyTorch.
struct AdamWStep {
  float* w = nullptr;
  const float* g = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  std::size_t count = 0;
  const StepRates* rates = nullptr;
  const double* squared_norm = nullptr;
  double clip = 0;
  float beta2 = 0.999F, epsilon = 1e-8F, weight_decay = 0;
};

}  // namespace normlab
