#pragma once
// The channels of a metric log that hold what happens inside a network. Who writes them and who draws them
// meet here.
//
// Vectors carry the names of layers as labels. Epoch 0, step 0 is the network at initialization; the rows of
// step s hold what that step did to the parameters, and the activations with the parameters after it.
//
//   layer.grad_norm      ||g|| of each layer with parameters: this step's gradient, before any clipping
//   layer.weight_norm    ||w|| of the same layers, before the step
//   layer.update_ratio   ||w' - w|| / ||w||, w' after the step (0 / 0 is 0)
//
// The other channels are over the *blocks* (convolution, norm, ReLU), named by the layer that gives a block's
// output: c1.norm, or c1.relu without a norm. They are taken on the probe batch: kProbeImages training images
// that the seed chooses, the same at every step, never augmented; BN uses the statistics of that batch.
//
//   layer.activation_mean, layer.activation_variance   of all values of the output, after the ReLU (biased)
//   layer.dead_fraction      share of the channels that are 0 at every pixel of every probe image: no
//   gradient
//                            gets past their ReLU
//   layer.output_grad_norm   ||dL/dy||, L the mean loss over the probe batch, y the block's output
//   layer.cosine             mean over pairs of distinct images of <a, b> / (||a|| ||b||): a, b their outputs
//   layer.stable_rank        tr(K) / ||K||_2 of the Gram matrix K of the outputs, each scaled to length 1
//   before.<block>, after.<block>   histograms of the values that enter and leave the norm (gamma and beta
//                            included, the ReLU not), over the first kHistogramImages of the probe batch;
//                            without a norm only `before`: what enters the ReLU

#include <string>
#include <string_view>
#include <utility>

#include "host/record/metric_log.hpp"

namespace normlab {

inline constexpr int kProbeImages = 64;
inline constexpr int kHistogramImages = 16;
/// A row of a histogram: lo, hi, then how many finite values lie in each of kHistogramBins equal parts of
/// [lo, hi], the smallest and largest of them.
inline constexpr int kHistogramBins = 64;

inline constexpr std::string_view kLayerPrefix = "layer.";
inline constexpr std::string_view kBeforePrefix = "before.";
inline constexpr std::string_view kAfterPrefix = "after.";
/// Of the loss landscape along the gradient, see experiments/measure/landscape.hpp.
inline constexpr std::string_view kLandscapePrefix = "landscape.";

/// The block that a layer belongs to: c1 of c1, c1.conv, c1.norm and c1.relu; s1.b1.c2 of s1.b1.c2.norm.
[[nodiscard]] inline std::string_view block_of(std::string_view layer) {
  for (const std::string_view part : {".conv", ".norm", ".relu"})
    if (layer.ends_with(part)) return layer.substr(0, layer.size() - part.size());
  return layer;
}

/// layer.<metric>, one value for each label.
[[nodiscard]] inline Channel layer_channel(std::string_view metric, std::vector<std::string> labels) {
  const auto count = static_cast<int>(labels.size());
  return {std::string(kLayerPrefix).append(metric), ChannelKind::vector, "", {count}, std::move(labels)};
}

/// before.<block> or after.<block>.
[[nodiscard]] inline Channel histogram_channel(std::string_view prefix, std::string_view block) {
  return {std::string(prefix).append(block), ChannelKind::histogram, "", {2 + kHistogramBins}, {}};
}

}  // namespace normlab
