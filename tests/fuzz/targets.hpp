#pragma once
// What fuzzers throw bytes at: every parser of files. A target returns whatever the bytes are; a crash, an
// exception that is no Error, or a broken promise (abort) is a finding.

#include <cstdint>
#include <span>
#include <string_view>

namespace normlab::fuzz {

struct Target {
  std::string_view name;  ///< and that of its corpus, tests/fuzz/corpus/<name>
  void (*run)(std::span<const std::uint8_t> bytes);
};

[[nodiscard]] std::span<const Target> targets();

}  // namespace normlab::fuzz
