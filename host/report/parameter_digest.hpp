#pragma once
// One number for all that a run has learned.

#include <string>

#include "host/record/safetensors.hpp"

namespace normlab {

/// SHA-256, in hex, of what is learned and not of who learned it: of each tensor, by name, the line
/// "<name> <type> <extents, with x between>\n" and its data, little-endian. Metadata do not count.
[[nodiscard]] std::string parameter_digest(const TensorFile& file);

}  // namespace normlab
