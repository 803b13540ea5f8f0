#pragma once
// What the rest of the house may know of the GPU; no vendor header comes in here.

#include <memory>
#include <string>

#include "layers/backend.hpp"
#include "platform.hpp"

namespace normlab::NORMLAB_PLATFORM {

struct CudaOptions {
  int device = 0;
  bool tf32 = false;  ///< fp32 convolutions and products in TF32: 10 bits of mantissa, 8 times the speed
};

/// Empty where the device is there and can be used; else what is missing, for people.
[[nodiscard]] std::string why_no_device(const CudaOptions& options = {});
/// Throws Error if why_no_device() has something to say.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace normlab::NORMLAB_PLATFORM
