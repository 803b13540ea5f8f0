#pragma once

#include "layers/as_size.hpp"
#include "layers/graph.hpp"

namespace normlab::bench {

/// What a layer did in one phase, over some number of images.
struct Work {
  double seconds = 0;  ///< of workers
  double flops = 0, bytes = 0;
};

/// FLOPs are those of convolutions and linear layers. Bytes are those that norms and ReLUs cannot do without:
/// forward reads x and writes y, backward reads x and dy and writes dx.
[[nodiscard]] inline Work work_of(const Graph& graph, const Profile& profile, int index, Phase phase,
                                  double images, DataType type) {
  Work work{profile.seconds(index, phase)};
  if (index == Profile::kStep || work.seconds == 0) return work;
  const Layer& layer = *graph.nodes()[as_size(index)].layer;
  const bool forward = phase == Phase::forward || phase == Phase::norm_forward;
  const bool backward = phase == Phase::backward_data || phase == Phase::norm_backward;
  const bool weights = phase == Phase::backward_weights;
  if (forward || backward || weights) work.flops = 2 * layer.multiply_adds() * images;
  if ((layer.is_norm() || layer.kind() == "relu") && (forward || backward)) {
    const double map = static_cast<double>(layer.y_shape().per_sample() * element_bytes(type));
    work.bytes = (forward ? 2 : 3) * map * images;
  }
  return work;
}

}  // namespace normlab::bench
