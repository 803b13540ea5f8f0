#include "host/cpu/isa.hpp"

#include <cstdlib>

#include "layers/error.hpp"

namespace normlab {

Isa best_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? Isa::avx512 : v3 ? Isa::avx2 : Isa::portable;
#else
  return Isa::portable;
#endif
}

Isa detail::active_isa = best_isa();

std::string isa_name(Isa isa) {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "portable";
}

std::string compiled_isas() {
#if defined(__x86_64__)
  return "portable, avx2 and avx512";
#else
  return "portable";
#endif
}

std::optional<Isa> isa_from_environment() {
  const char* text = std::getenv("NORMLAB_ISA");
  if (text == nullptr || *text == '\0') return std::nullopt;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (text == isa_name(isa)) return isa;
  }
  throw UsageError("NORMLAB_ISA={}: choose portable, avx2 or avx512, or unset it", text);
}

void force_isa(Isa isa) {
  if (isa > best_isa()) {
    throw UsageError("instruction set {}: this CPU has only {}", isa_name(isa), isa_name(best_isa()));
  }
  detail::active_isa = isa;
}

}  // namespace normlab
