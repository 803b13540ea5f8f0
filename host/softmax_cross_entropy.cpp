#include <algorithm>
#include <cmath>

#include "host/host_backend.hpp"

namespace normlab {

void HostBackend::softmax_cross_entropy(const SoftmaxCrossEntropy& args) {
  const HostLayout at = layout(args.logits);
  const int classes = args.logits.shape.c;
  const double smoothing = static_cast<double>(args.label_smoothing);
  for (int n = 0; n < args.logits.shape.n; ++n) {
    const float* row = args.logits.data + n * at.sample;  // one pixel: channels are contiguous
    const auto best = std::max_element(row, row + classes);
    double sum = 0, mean = 0;
    for (int c = 0; c < classes; ++c) {
      sum += std::exp(static_cast<double>(row[c]) - static_cast<double>(*best));
      mean += static_cast<double>(row[c]);
    }
    mean /= classes;
    const double log_sum = static_cast<double>(*best) + std::log(sum);
    const int label = args.labels[n];
    args.loss[n] =
        static_cast<float>(log_sum - (1 - smoothing) * static_cast<double>(row[label]) - smoothing * mean);
    args.predicted[n] = static_cast<std::int32_t>(best - row);
    args.confidence[n] = static_cast<float>(1 / sum);
    if (args.dlogits.empty()) continue;
    float* gradient = args.dlogits.data + n * at.sample;
    for (int c = 0; c < at.padded_channels(); ++c) {
      if (c >= classes) {
        gradient[c] = 0.0F;
        continue;
      }
      const double target = (c == label ? 1 - smoothing : 0.0) + smoothing / classes;
      gradient[c] = static_cast<float>(static_cast<double>(args.scale) *
                                       (std::exp(static_cast<double>(row[c]) - log_sum) - target));
    }
  }
}

}  // namespace normlab
