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
  /// Batch norm by cuDNN instead of the kernels of batch_norm.cu.
  bool cudnn_batch_norm = false;
  /// What Backend::choices() said when the run began, which convolutions then follow; empty: they choose.
  std::string choices;
};

/// Empty where the device is there and can be used; else what is missing, for people.
[[nodiscard]] std::string why_no_device(const CudaOptions& options = {});
/// Throws Error with the words of why_no_device() where there is no usable device.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace normlab::NORMLAB_PLATFORM
