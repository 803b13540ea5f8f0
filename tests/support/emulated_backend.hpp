#pragma once

#include <memory>
#include <string>

#include "layers/backend.hpp"

namespace normlab::test {

/// The GPU backend on the emulated platform of tests/simt, with the choices that --bn, --precision and a
/// resumed run make.
struct EmulatedChoices {
  bool cudnn_batch_norm = false, tf32 = false;
  std::string algorithms;
};
[[nodiscard]] std::unique_ptr<Backend> make_emulated_backend(const EmulatedChoices& choices = {});

}  // namespace normlab::test
