#include "layers/kernels/kernels.hpp"

#include <atomic>

namespace normlab {

std::size_t next_kernel_family() {
  static std::atomic<std::size_t> families = 0;
  return families++;
}

}  // namespace normlab
