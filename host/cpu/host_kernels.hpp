#pragma once
// What the CPU's kernels have in common.

#include <memory>

#include "host/cpu/host_backend.hpp"

namespace normlab {

/// Kernels of a family, for a backend that outlives them.
template <typename Family>
class HostKernels : public Family {
 public:
  explicit HostKernels(HostBackend& host) : host_(host) {}

 protected:
  [[nodiscard]] HostLayout layout(const Tensor& tensor) const { return host_.layout(tensor); }

  HostBackend& host_;
};

}  // namespace normlab
