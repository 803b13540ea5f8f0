#pragma once
// Where things are. Functions, not macros: so no other file depends on where the checkout lies, and compiler
// caches serve every clone.

#include <string>

namespace normlab::test {

/// The root of the checkout.
[[nodiscard]] std::string source_dir();
/// The programs of this build.
[[nodiscard]] std::string bin_dir();

}  // namespace normlab::test
