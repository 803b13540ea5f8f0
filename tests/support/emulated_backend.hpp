#pragma once

#include <memory>

#include "layers/backend.hpp"

namespace normlab::testing {

/// The GPU backend on the emulated platform of tests/simt.
[[nodiscard]] std::unique_ptr<Backend> make_emulated_backend();

}  // namespace normlab::testing
