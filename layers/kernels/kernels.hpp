#pragma once
// A family of kernels: what a device computes of one operation. kernels/all.hpp lists them.

#include <cstddef>

#include "layers/tensor.hpp"

namespace normlab {

class Kernels {
 public:
  Kernels() = default;
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;
  virtual ~Kernels() = default;
};

/// A number for each family, for Backend::get().
[[nodiscard]] std::size_t next_kernel_family();
template <typename Family>
[[nodiscard]] std::size_t kernel_family() {
  static const std::size_t number = next_kernel_family();
  return number;
}

}  // namespace normlab
