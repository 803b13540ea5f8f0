#include "tests/support/emulated_backend.hpp"

#include "cuda/cuda_backend.hpp"

namespace normlab::test {

std::unique_ptr<Backend> make_emulated_backend(const EmulatedChoices& choices) {
  return NORMLAB_PLATFORM::make_cuda_backend({0, choices.tf32, choices.cudnn_batch_norm, choices.algorithms});
}

}  // namespace normlab::test
