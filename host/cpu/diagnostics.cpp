// The diagnostics' reductions: host memory is the device's, so the plain functions serve.

#include "layers/diagnostics.hpp"
#include "layers/as_size.hpp"

#include "host/cpu/gram.hpp"
#include "host/cpu/host_kernels.hpp"
#include "layers/kernels/diagnostics.hpp"

namespace normlab {

namespace {

class HostDiagnostics final : public HostKernels<DiagnosticKernels> {
 public:
  using HostKernels::HostKernels;
  [[nodiscard]] Moments moments(const float* values, Shape shape) override;
  [[nodiscard]] std::vector<float> histogram(const float* values, std::size_t count, int bins) override;
  [[nodiscard]] std::vector<double> row_norms(const float* values, int rows, std::size_t size) override;
  [[nodiscard]] std::vector<double> gram(const float* values, int rows, std::size_t size) override;
};

}  // namespace

Moments HostDiagnostics::moments(const float* values, Shape shape) {
  return normlab::moments({values, shape.count()}, shape);
}

std::vector<float> HostDiagnostics::histogram(const float* values, std::size_t count, int bins) {
  return normlab::histogram({values, count}, bins);
}

std::vector<double> HostDiagnostics::row_norms(const float* values, int rows, std::size_t size) {
  std::vector<double> norms;
  for (int row = 0; row < rows; ++row, values += size) norms.push_back(l2_norm({values, size}));
  return norms;
}

std::vector<double> HostDiagnostics::gram(const float* values, int rows, std::size_t size) {
  return normlab::gram({values, as_size(rows) * size}, rows);
}

template <>
std::unique_ptr<DiagnosticKernels> make_host_kernels<DiagnosticKernels>(HostBackend& host) {
  return std::make_unique<HostDiagnostics>(host);
}

}  // namespace normlab
