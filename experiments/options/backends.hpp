#pragma once

#include <memory>
#include <string>

#include "layers/backend.hpp"

namespace normlab {

/// What a device lets one choose; it refuses what only another can do.
struct DeviceChoices {
  bool tf32 = false;                 ///< GPU: convolutions and products of fp32 numbers in TF32
  bool cudnn_batch_norm = false;     ///< GPU: batch norm by cuDNN, not by our kernels
  std::string algorithms;            ///< GPU: Backend::choices() of a run that goes on
  bool direct_convolutions = false;  ///< CPU: by the definition, not by Winograd's algorithm
};

/// Makes the device that --device names: auto, cpu or cuda. auto is the CPU as long as the GPU backend has
/// only run on the emulated platform. `threads` is the most workers that the CPU will
/// have. A device that is not there is an error that says why; nothing falls back silently.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const std::string& device, int threads,
                                                    const DeviceChoices& choices = {});

/// Empty where --device cuda can be used; else what is missing, for people.
[[nodiscard]] std::string why_no_cuda();

/// The processors' model.
[[nodiscard]] std::string cpu_model();

}  // namespace normlab
