#pragma once
// Sixteen floats at a time, in plain C++: GCC's and clang's vector types become AVX-512, AVX2, SSE or NEON
// code. A function marked NORMLAB_KERNEL is compiled once for each x86-64 level and the right one is chosen
// when the program is loaded; everything it calls must be NORMLAB_INLINE, so that it is compiled for the same
// level.

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(NORMLAB_SANITIZED)
#define NORMLAB_KERNEL __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define NORMLAB_KERNEL  // sanitizers cannot run before the resolver that chooses a clone
#endif
#define NORMLAB_INLINE __attribute__((always_inline)) inline

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

}  // namespace normlab
