#pragma once
// What stands in values (n, c, h, w) that Backend::unpack() left as plain floats in the device's memory, as
// layers/diagnostics.hpp defines it. What returns a figure waits for the device.

#include <cstddef>
#include <vector>

#include "layers/diagnostics.hpp"
#include "layers/kernels/kernels.hpp"

namespace normlab {

class DiagnosticKernels : public Kernels {
 public:
  [[nodiscard]] virtual Moments moments(const float* values, Shape shape) = 0;
  [[nodiscard]] virtual std::vector<float> histogram(const float* values, std::size_t count, int bins) = 0;
  /// Of rows of `size` values, one behind the other: the length of each, ||row||_2, and K = X X^T, (rows,
  /// rows), whose products are added in float over stretches of 1,024 elements, and those in double.
  [[nodiscard]] virtual std::vector<double> row_norms(const float* values, int rows, std::size_t size) = 0;
  [[nodiscard]] virtual std::vector<double> gram(const float* values, int rows, std::size_t size) = 0;
};

}  // namespace normlab
