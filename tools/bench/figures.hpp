#pragma once
// What bench finds on a GPU, as data; tables and CSV are views of it.

#include <string>
#include <vector>

#include "layers/tensor.hpp"

namespace normlab::bench {

/// Median time of one pass of one thing, and what it cannot do without.
struct Figure {
  std::string section;  ///< norm, convolution, layer, step or epoch
  std::string name;     ///< kernel size, or the layer's name
  std::string norm;     ///< as typed; empty for convolutions
  std::string pass;     ///< forward, backward, backward_data, backward_weights, ...
  Shape x;
  DataType type = DataType::f32;
  double seconds = 0;
  double warm_seconds = 0;      ///< with its input just written by another kernel; 0: not measured
  double bytes = 0, flops = 0;  ///< 0: not counted
};

struct DeviceResults {
  std::string device;               ///< for people
  std::vector<double> copy;         ///< GB/s read and written by a large copy, by round
  std::vector<double> kernel_copy;  ///< the same by a kernel of ours
  std::vector<Figure> figures;

  [[nodiscard]] double copy_bandwidth() const;  ///< the better median, GB/s
};

[[nodiscard]] std::string device_tables(const DeviceResults& results);
[[nodiscard]] std::string device_csv(const DeviceResults& results);

}  // namespace normlab::bench
