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

namespace detail {

template <auto kBody, typename... Arguments>
NORMLAB_TARGET("arch=x86-64-v4")
auto run_avx512(Arguments&&... arguments) {
  return kBody(std::forward<Arguments>(arguments)...);
}
template <auto kBody, typename... Arguments>
NORMLAB_TARGET("arch=x86-64-v3")
auto run_avx2(Arguments&&... arguments) {
  return kBody(std::forward<Arguments>(arguments)...);
}

}  // namespace detail

/// Runs the body that is meant for this CPU's instruction set: one for AVX-512, one for AVX2, one for the
/// rest.
template <auto kAvx512, auto kAvx2, auto kPortable, typename... Arguments>
auto kernel(Arguments&&... arguments) {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return detail::run_avx512<kAvx512>(std::forward<Arguments>(arguments)...);
  if (isa() == Isa::avx2) return detail::run_avx2<kAvx2>(std::forward<Arguments>(arguments)...);
#endif
  return kPortable(std::forward<Arguments>(arguments)...);
}

/// The same body for all of them.
template <auto kBody, typename... Arguments>
auto kernel(Arguments&&... arguments) {
  return kernel<kBody, kBody, kBody>(std::forward<Arguments>(arguments)...);
}

}  // namespace normlab
