#pragma once
// Vectors over layers, as pictures need them: aligned between norms, in order of depth.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/report/run_curves.hpp"

namespace normlab {

/// A channel `layer.<metric>` and how it is shown.
struct LayerMetric {
  std::string channel;  // layer.grad_norm
  std::string slug;     // of picture names: gradient
  std::string title;    // "Norm of each layer's gradient"
  bool log = true;
  double floor = 0, ceiling = 1e300;
};

/// Which elements of a vector are drawn: those of convolutions and of the linear layer; a norm's gamma and
/// beta are other things on another scale (layers.csv has them). All of them if no label tells.
[[nodiscard]] std::vector<std::size_t> drawn_layers(const ChannelView& channel);

/// A layer's name without what kind of node it is: c1 of c1.conv.
[[nodiscard]] std::string short_name(const std::string& label);

/// Epochs done at a row, fractions too: step / steps of an epoch where the run knows them.
[[nodiscard]] double epochs_at(const RunView& run, const ChannelRow& row);

/// "at initialization", "after epoch 3", "after step 10".
[[nodiscard]] std::string moment_of(const RunView& run, const ChannelRow& row);

/// The runs of an arm whose layers are shown: those that finished, or all if none did.
[[nodiscard]] std::vector<const RunView*> shown_runs(const ArmView& arm);

/// The first of those runs that has the channel; nullptr if none has.
[[nodiscard]] const RunView* run_with(const ArmView& arm, const std::string& channel);

/// The metric by layer (1, 2, ... along x), at the first row (`last` false) or the last, a line for each arm.
[[nodiscard]] Chart chart_by_layer(const std::vector<const ArmView*>& arms, const LayerMetric& metric,
                                   bool last);

/// A value of the whole network by epoch, `total` of its drawn layers, a line for each arm.
using LayerTotal = std::function<double(const std::vector<double>&)>;
[[nodiscard]] Chart chart_by_epoch(const std::vector<const ArmView*>& arms, const LayerMetric& metric,
                                   const LayerTotal& total);

/// A line for each layer of one arm by epoch, coloured by depth.
[[nodiscard]] Chart chart_of_layers(const ArmView& arm, const LayerMetric& metric);

}  // namespace normlab
