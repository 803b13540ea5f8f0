#pragma once

#include <string>

namespace normlab {

/// The git commit of the sources, "-dirty" when they were changed, "unknown" outside a checkout.
[[nodiscard]] std::string revision();
/// Compiler and build type.
[[nodiscard]] std::string build_description();

}  // namespace normlab
