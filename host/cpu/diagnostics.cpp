// The diagnostics' reductions: host memory is the device's, so the plain functions serve.

#include "layers/diagnostics.hpp"

#include "host/cpu/gram.hpp"
#include "host/cpu/host_backend.hpp"

namespace normlab {

void HostBackend::unpack(Tensor from, float* values) {
  download(from, values);
}

Moments HostBackend::moments(const float* values, Shape shape) {
  return normlab::moments({values, shape.count()}, shape);
}

std::vector<float> HostBackend::histogram(const float* values, std::size_t count, int bins) {
  return normlab::histogram({values, count}, bins);
}

std::vector<double> HostBackend::row_norms(const float* values, int rows, std::size_t size) {
  std::vector<double> norms;
  for (int row = 0; row < rows; ++row, values += size) norms.push_back(l2_norm({values, size}));
  return norms;
}

std::vector<double> HostBackend::gram(const float* values, int rows, std::size_t size) {
  return normlab::gram({values, static_cast<std::size_t>(rows) * size}, rows);
}

}  // namespace normlab
