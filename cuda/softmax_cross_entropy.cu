// Softmax cross-entropy with label smoothing, forward and backward at once; formulas stand at
// SoftmaxCrossEntropy. A warp for each sample, its lanes over the classes; in double, as on the host: there
// are few.

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"
#include "layers/kernels/softmax_cross_entropy.hpp"

namespace normlab::NORMLAB_PLATFORM {

struct SoftmaxShape {
  double smoothing, scale;
  int samples, classes, stride, wants_gradient;
};

/// Bytes: few.
template <typename T>
__global__ void softmax_cross_entropy_kernel(SoftmaxShape s, const T* logits, const std::int32_t* labels,
                                             T* dlogits, float* loss, std::int32_t* predicted,
                                             float* confidence) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int sample = static_cast<int>(blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp);
  if (sample >= s.samples) return;  // whole warps
  const T* row = logits + static_cast<std::size_t>(sample) * static_cast<std::size_t>(s.stride);
  const auto logit = [&](int c) { return static_cast<double>(to_float(row[c])); };

  int best = lane < s.classes ? lane : 0;
  for (int c = lane; c < s.classes; c += kWarp) best = is_larger(logit(c), logit(best)) ? c : best;
  NORMLAB_UNROLL
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const int other = __shfl_xor_sync(kAllLanes, best, distance);
    const bool equal = !is_larger(logit(other), logit(best)) && !is_larger(logit(best), logit(other));
    const bool wins = is_larger(logit(other), logit(best)) || (equal && other < best);
    best = wins ? other : best;
  }
  double sum = 0, mean = 0;
  for (int c = lane; c < s.classes; c += kWarp) {
    sum += exp(logit(c) - logit(best));
    mean += logit(c);
  }
  sum = sum_lanes(sum);
  mean = sum_lanes(mean) / s.classes;
  const double log_sum = logit(best) + log(sum);
  const int label = labels[sample];
  if (lane == 0) {
    // A logit of minus infinity at another class has no part in the loss but by smoothing.
    const double smoothed = s.smoothing > 0 ? s.smoothing * mean : 0;
    loss[sample] = static_cast<float>(log_sum - (1 - s.smoothing) * logit(label) - smoothed);
    predicted[sample] = best;
    confidence[sample] = static_cast<float>(1 / sum);
  }
  if (s.wants_gradient == 0) return;
  T* gradient = dlogits + static_cast<std::size_t>(sample) * static_cast<std::size_t>(s.stride);
  for (int c = lane; c < s.stride; c += kWarp) {
    const double target = (c == label ? 1 - s.smoothing : 0.0) + s.smoothing / s.classes;
    const double value = c < s.classes ? s.scale * (exp(logit(c) - log_sum) - target) : 0.0;
    gradient[c] = from_float<T>(static_cast<float>(value));
  }
}

namespace {

class CudaSoftmaxCrossEntropy final : public CudaKernels<SoftmaxCrossEntropyKernels> {
 public:
  using CudaKernels::CudaKernels;
  void forward(const SoftmaxCrossEntropy& args) override;
};

}  // namespace

void CudaSoftmaxCrossEntropy::forward(const SoftmaxCrossEntropy& args) {
  constexpr unsigned kThreads = 128, kSamples = kThreads / kWarp;
  const SoftmaxShape shape{static_cast<double>(args.label_smoothing),
                           static_cast<double>(args.scale),
                           args.logits.shape.n,
                           args.logits.shape.c,
                           padded(args.logits.shape.c),
                           args.dlogits.empty() ? 0 : 1};
  with_elements(args.logits.type, [&](auto zero) {
    using T = decltype(zero);
    launch(softmax_cross_entropy_kernel<T>, blocks_for(static_cast<std::size_t>(shape.samples), kSamples),
           kThreads, 0, stream(), shape, elements<T>(args.logits), args.labels, elements<T>(args.dlogits),
           args.loss, args.predicted, args.confidence);
  });
}

template <>
std::unique_ptr<SoftmaxCrossEntropyKernels> make_cuda_kernels<SoftmaxCrossEntropyKernels>(
    CudaBackend& backend) {
  return std::make_unique<CudaSoftmaxCrossEntropy>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
