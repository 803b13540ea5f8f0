#pragma once
// Sixteen floats at a time, in plain C++: GCC's and clang's vector types become AVX-512, AVX2, SSE or NEON
// code. `kernel<body>(arguments)` calls a body that is compiled once for each instruction set of `Isa`, and
// chooses by what this CPU has. A body, and everything that it calls, must be NORMLAB_INLINE, so that it is
// compiled for the same instruction set.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "host/isa.hpp"

#define NORMLAB_INLINE __attribute__((always_inline)) inline
/// For lambdas, after the parameters.
#define NORMLAB_INLINE_LAMBDA __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__)
#define NORMLAB_TARGET(arch) __attribute__((target(arch)))
#else
#define NORMLAB_TARGET(arch)
#endif

namespace normlab {

inline constexpr int kLanes = 16;

using Vec = float __attribute__((vector_size(64), may_alias));
using VecInt = std::int32_t __attribute__((vector_size(64), may_alias));

NORMLAB_INLINE Vec load(const float* p) {
  return *reinterpret_cast<const Vec*>(p);
}
NORMLAB_INLINE void store(float* p, Vec v) {
  *reinterpret_cast<Vec*>(p) = v;
}
NORMLAB_INLINE Vec zero() {
  return Vec{};
}
NORMLAB_INLINE Vec positive(Vec v) {
  return v > 0.0F ? v : zero();
}

/// What the instruction sets' registers hold. A body that depends on them is a structure with a static member
/// template `run<Set>(arguments)`, called by kernel<Body>(arguments).
struct Avx512 {
  static constexpr int kWidth = 16, kRegisters = 32;
  using Native = float __attribute__((vector_size(64), may_alias));
};
struct Avx2 {
  static constexpr int kWidth = 8, kRegisters = 16;
  using Native = float __attribute__((vector_size(32), may_alias));
};
struct Portable {
  static constexpr int kWidth = 4, kRegisters = 16;
  using Native = float __attribute__((vector_size(16), may_alias));
};

namespace detail {

template <typename Body, typename... Arguments>
NORMLAB_TARGET("arch=x86-64-v4")
auto run_avx512(Arguments&&... arguments) {
  return Body::template run<Avx512>(std::forward<Arguments>(arguments)...);
}
template <typename Body, typename... Arguments>
NORMLAB_TARGET("arch=x86-64-v3")
auto run_avx2(Arguments&&... arguments) {
  return Body::template run<Avx2>(std::forward<Arguments>(arguments)...);
}

/// A function as a body that is the same for all sets.
template <auto kFunction>
struct Same {
  template <typename Set, typename... Arguments>
  static NORMLAB_INLINE auto run(Arguments&&... arguments) {
    return kFunction(std::forward<Arguments>(arguments)...);
  }
};

}  // namespace detail

template <typename Body, typename... Arguments>
auto kernel(Arguments&&... arguments) {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return detail::run_avx512<Body>(std::forward<Arguments>(arguments)...);
  if (isa() == Isa::avx2) return detail::run_avx2<Body>(std::forward<Arguments>(arguments)...);
#endif
  return Body::template run<Portable>(std::forward<Arguments>(arguments)...);
}

template <auto kFunction, typename... Arguments>
auto kernel(Arguments&&... arguments) {
  return kernel<detail::Same<kFunction>>(std::forward<Arguments>(arguments)...);
}

}  // namespace normlab
