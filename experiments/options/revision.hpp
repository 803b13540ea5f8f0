#pragma once

#include <string>

namespace normlab {

/// The git commit of the sources, "-dirty" when they were changed, "unknown" outside a checkout.
[[nodiscard]] std::string revision();
/// Compiler and build type.
[[nodiscard]] std::string build_description();
/// The instruction sets and GPUs that there are kernels for, and which of the former this CPU has.
[[nodiscard]] std::string kernels_description();

}  // namespace normlab
