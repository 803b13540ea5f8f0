#include "tests/support/emulated_backend.hpp"

#include "cuda/cuda_backend.hpp"

namespace normlab::testing {

std::unique_ptr<Backend> make_emulated_backend() {
  return NORMLAB_PLATFORM::make_cuda_backend();
}

}  // namespace normlab::testing
