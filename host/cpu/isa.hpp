#pragma once

#include <optional>
#include <string>

namespace normlab {

/// The instruction sets that our own kernels are compiled for (x86-64-v4, x86-64-v3, and any CPU at all).
enum class Isa { portable, avx2, avx512 };

namespace detail {
extern Isa active_isa;
}

/// The one in use: the CPU's best, unless force_isa() asked for less.
[[nodiscard]] inline Isa isa() {
  return detail::active_isa;
}
[[nodiscard]] Isa best_isa();
[[nodiscard]] std::string isa_name(Isa isa);
/// Those that this build has kernels for, for people.
[[nodiscard]] std::string compiled_isas();

/// What the environment variable NORMLAB_ISA asks for (portable, avx2 or avx512): every HostBackend heeds it.
[[nodiscard]] std::optional<Isa> isa_from_environment();

/// For tests and comparisons: a lesser instruction set than the CPU's. Throws UsageError for a greater one.
/// Not while kernels run.
void force_isa(Isa isa);

}  // namespace normlab
