#include <cmath>

#include "host/cpu/host_kernels.hpp"
#include "layers/kernels/softmax_cross_entropy.hpp"

namespace normlab {

namespace {

class HostSoftmaxCrossEntropy final : public HostKernels<SoftmaxCrossEntropyKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(const SoftmaxCrossEntropy& args) override;
};

}  // namespace

void HostSoftmaxCrossEntropy::forward(const SoftmaxCrossEntropy& args) {
  const HostLayout at = layout(args.logits);
  const int classes = args.logits.shape.c;
  const double smoothing = static_cast<double>(args.label_smoothing);
  with_storage(args.logits.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < args.logits.shape.n; ++n) {
      const T* row = args.logits.as<T>() + n * at.sample;  // one pixel: channels are contiguous
      const auto logit = [&](int c) { return static_cast<double>(static_cast<float>(row[c])); };
      int best = 0;
      for (int c = 1; c < classes; ++c) best = is_larger(logit(c), logit(best)) ? c : best;
      double sum = 0, mean = 0;
      for (int c = 0; c < classes; ++c) {
        sum += std::exp(logit(c) - logit(best));
        mean += logit(c);
      }
      mean /= classes;
      const double log_sum = logit(best) + std::log(sum);
      const int label = args.labels[n];
      // A logit of minus infinity at another class has no part in the loss but by smoothing.
      const double smoothed = smoothing > 0 ? smoothing * mean : 0;
      args.loss[n] = static_cast<float>(log_sum - (1 - smoothing) * logit(label) - smoothed);
      args.predicted[n] = best;
      args.confidence[n] = static_cast<float>(1 / sum);
      if (args.dlogits.empty()) continue;
      T* gradient = args.dlogits.as<T>() + n * at.sample;
      for (int c = 0; c < at.padded_channels(); ++c) {
        if (c >= classes) {
          gradient[c] = T(0.0F);
          continue;
        }
        const double target = (c == label ? 1 - smoothing : 0.0) + smoothing / classes;
        gradient[c] = static_cast<T>(
            static_cast<float>(static_cast<double>(args.scale) * (std::exp(logit(c) - log_sum) - target)));
      }
    }
  });
}

template <>
std::unique_ptr<SoftmaxCrossEntropyKernels> make_host_kernels<SoftmaxCrossEntropyKernels>(HostBackend& host) {
  return std::make_unique<HostSoftmaxCrossEntropy>(host);
}

}  // namespace normlab
