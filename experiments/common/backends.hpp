#pragma once

#include <memory>
#include <string>

#include "layers/backend.hpp"

namespace normlab {

/// Makes the device that --device names: auto, cpu or cuda. `threads` is the CPU's number of workers. A
/// device that is not there is an error that says why; nothing falls back silently.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const std::string& device, int threads);

/// Processors that this process may use, and their model.
[[nodiscard]] int available_threads();
[[nodiscard]] std::string cpu_model();

}  // namespace normlab
