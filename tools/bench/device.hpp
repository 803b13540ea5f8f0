#pragma once
// bench --device cuda: what a GPU reaches, kernel by kernel, layer by layer, and as a whole.

#include <set>

#include "tools/bench/figures.hpp"
#include "tools/bench/subject.hpp"

namespace normlab::bench {

/// A convolution's input, and what it makes of it.
struct Convolution {
  Shape x;  ///< x.n: 0 for as many samples as the batch has
  int out_channels, kernel;
};

struct DevicePlan {
  Plan training;  ///< norms, batch sizes and precisions of all sections; the network
  std::set<std::string> sections{"norms", "convolutions", "training"};
  bool layers = false;  ///< the training step layer by layer, too
  int rounds = 20;      ///< medians over so many
  std::size_t copy_bytes = std::size_t{1} << 30;
  std::size_t flush_bytes = std::size_t{256} << 20;  ///< more than any L2 cache holds
  std::vector<Shape> maps;                           ///< of norms; n: as Convolution
  std::vector<Convolution> convolutions;
  int epoch_images = 50'000;

  /// The maps and convolutions of NetA, and larger ones.
  static DevicePlan usual();
};

using MakeDevice = std::function<std::unique_ptr<Backend>()>;

/// All of it on a device with a clock of its own. Throws Error if it has none.
[[nodiscard]] DeviceResults measure_device(const DevicePlan& plan, const MakeDevice& make);

}  // namespace normlab::bench
