#pragma once

#include <memory>
#include <string>

#include "layers/backend.hpp"

namespace normlab {

/// Makes the device that --device names: auto, cpu or cuda. auto is the CPU as long as the GPU backend has
/// only run on the emulated platform. `threads` is the most workers that the CPU will
/// have. A device that is not there is an error that says why; nothing falls back silently.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const std::string& device, int threads);

/// Empty where --device cuda can be used; else what is missing, for people.
[[nodiscard]] std::string why_no_cuda();

/// The processors' model.
[[nodiscard]] std::string cpu_model();

}  // namespace normlab
