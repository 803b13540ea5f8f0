#pragma once
// The norms that tests go through: all of the table.

#include <string>
#include <vector>

#include "layers/norms.hpp"

namespace normlab::test {

/// All norms as typed, those with a parameter with this one.
[[nodiscard]] inline std::vector<std::string> norm_names(int parameter = 4) {
  std::vector<std::string> names;
  for (const NormKind& kind : norm_kinds())
    names.push_back(std::string(kind.name) + (kind.parameter.empty() ? "" : ":" + std::to_string(parameter)));
  return names;
}

}  // namespace normlab::test
