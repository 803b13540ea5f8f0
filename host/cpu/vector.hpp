#pragma once
// Sixteen floats at a time, in plain C++: GCC's and clang's vector types become AVX-512, AVX2, SSE or NEON
// code. kernel<Body>(arguments) calls Body::run<Set>(arguments), a static member template that is compiled
// once for each instruction set of `Isa`, and chooses by what this CPU has. It, and everything that it calls,
// must be NORMLAB_INLINE, so that it is compiled for the same instruction set.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "host/cpu/isa.hpp"
#include "layers/data_type.hpp"

// Kernels are inlined into one function for each instruction set. Of UndefinedBehaviorSanitizer's checks,
// those of indices and of overflow are left out there: with them loops over registers stay loops.
// AddressSanitizer checks every access of the portable kernels, which are the same lines as the others and
// which layers' tests run then; whole networks train with the others, unchecked and at speed.
#if defined(NORMLAB_SANITIZED) && defined(__GNUC__)
#define NORMLAB_UNCHECKED no_sanitize("bounds"), no_sanitize("signed-integer-overflow")
#define NORMLAB_INLINE __attribute__((always_inline, NORMLAB_UNCHECKED)) inline
#define NORMLAB_INLINE_LAMBDA __attribute__((always_inline, NORMLAB_UNCHECKED))
#else
#define NORMLAB_INLINE __attribute__((always_inline)) inline
/// For lambdas, after the parameters.
#define NORMLAB_INLINE_LAMBDA __attribute__((always_inline))
#endif

#if defined(__x86_64__) && defined(__GNUC__) && defined(__SANITIZE_ADDRESS__)
#define NORMLAB_TARGET(arch) __attribute__((target(arch), no_sanitize("address", "undefined")))
#elif defined(__x86_64__) && defined(__GNUC__)
#define NORMLAB_TARGET(arch) __attribute__((target(arch)))
#else
#define NORMLAB_TARGET(arch)
#endif

namespace normlab {

inline constexpr int kLanes = 16;

/// What the instruction sets' registers hold: kWidth floats (Native), their bits, or twice as many 16-bit
/// words; half a register holds kWidth words.
struct Avx512 {
  static constexpr int kWidth = 16, kRegisters = 32;
  using Native = float __attribute__((vector_size(64), may_alias));
  using Bits = std::uint32_t __attribute__((vector_size(64), may_alias));
  using Words = std::uint16_t __attribute__((vector_size(64), may_alias));
  using HalfWords = std::uint16_t __attribute__((vector_size(32), may_alias));
};
struct Avx2 {
  static constexpr int kWidth = 8, kRegisters = 16;
  using Native = float __attribute__((vector_size(32), may_alias));
  using Bits = std::uint32_t __attribute__((vector_size(32), may_alias));
  using Words = std::uint16_t __attribute__((vector_size(32), may_alias));
  using HalfWords = std::uint16_t __attribute__((vector_size(16), may_alias));
};
struct Portable {
  static constexpr int kWidth = 4, kRegisters = 16;
  using Native = float __attribute__((vector_size(16), may_alias));
  using Bits = std::uint32_t __attribute__((vector_size(16), may_alias));
  using Words = std::uint16_t __attribute__((vector_size(16), may_alias));
  using HalfWords = std::uint16_t __attribute__((vector_size(8), may_alias));
};

template <typename Set>
using Native = typename Set::Native;

/// kLanes floats in as many registers as they need. (One wide GCC vector would go through memory wherever a
/// register is narrower.)
template <typename Set>
struct Vec {
  typename Set::Native part[kLanes / Set::kWidth];
};

/// For each lane all ones or all zeros.
template <typename Set>
struct Mask {
  decltype(typename Set::Native() > typename Set::Native()) part[kLanes / Set::kWidth];
};

namespace detail {

template <typename Result, typename F, int... kPart>
NORMLAB_INLINE Result from_parts(F f, std::integer_sequence<int, kPart...>) {
  return {{f(kPart)...}};
}
template <typename F, int... kIndex>
NORMLAB_INLINE void unrolled(F f, std::integer_sequence<int, kIndex...>) {
  (f(kIndex), ...);
}

// A bf16 is a float's upper word, the second of two in memory; the first is zero.
template <typename Set, int... kWord>
NORMLAB_INLINE typename Set::Native widened(typename Set::HalfWords upper,
                                            std::integer_sequence<int, kWord...>) {
  constexpr int kZero = Set::kWidth;  // the first element of the second vector
  return reinterpret_cast<typename Set::Native>(
      __builtin_shufflevector(upper, typename Set::HalfWords(), (kWord % 2 == 0 ? kZero : kWord / 2)...));
}
template <typename Set, int... kFloat>
NORMLAB_INLINE typename Set::HalfWords upper_words(typename Set::Bits bits,
                                                   std::integer_sequence<int, kFloat...>) {
  const auto words = reinterpret_cast<typename Set::Words>(bits);
  return __builtin_shufflevector(words, words, (2 * kFloat + 1)...);
}

}  // namespace detail

/// The Vec or Mask whose part i is f(i).
template <template <typename> typename Result, typename Set, typename F>
NORMLAB_INLINE Result<Set> from_parts(F f) {
  return detail::from_parts<Result<Set>>(f, std::make_integer_sequence<int, kLanes / Set::kWidth>());
}

template <typename Set>
NORMLAB_INLINE Vec<Set> broadcast(float value) {
  return from_parts<Vec, Set>([&](int) NORMLAB_INLINE_LAMBDA { return value - typename Set::Native(); });
}
template <typename Set>
NORMLAB_INLINE Vec<Set> zero() {
  return from_parts<Vec, Set>([&](int) NORMLAB_INLINE_LAMBDA { return typename Set::Native(); });
}

/// One register of either storage type, as fp32.
template <typename Set>
NORMLAB_INLINE Native<Set> load_native(const float* p) {
  return *reinterpret_cast<const Native<Set>*>(p);
}
template <typename Set>
NORMLAB_INLINE Native<Set> load_native(const Bf16* p) {
  return detail::widened<Set>(*reinterpret_cast<const typename Set::HalfWords*>(p),
                              std::make_integer_sequence<int, 2 * Set::kWidth>());
}
template <typename Set>
NORMLAB_INLINE void store_native(float* p, Native<Set> value) {
  *reinterpret_cast<Native<Set>*>(p) = value;
}
/// Rounds as Bf16(float) does.
template <typename Set>
NORMLAB_INLINE void store_native(Bf16* p, Native<Set> value) {
  const auto bits = reinterpret_cast<typename Set::Bits>(value);
  const auto rounded = bits + 0x7FFFU + ((bits >> 16) & 1U);
  const typename Set::Bits kept = value == value ? rounded : bits | 0x400000U;
  *reinterpret_cast<typename Set::HalfWords*>(p) =
      detail::upper_words<Set>(kept, std::make_integer_sequence<int, Set::kWidth>());
}

template <typename Set, typename T>
NORMLAB_INLINE Vec<Set> load(const T* p) {
  return from_parts<Vec, Set>([&](int i)
                                  NORMLAB_INLINE_LAMBDA { return load_native<Set>(p + i * Set::kWidth); });
}
template <typename Set, typename T>
NORMLAB_INLINE void store(T* p, Vec<Set> v) {
  for (const auto& part : v.part) {
    store_native<Set>(p, part);
    p += Set::kWidth;
  }
}

template <typename Set>
NORMLAB_INLINE Vec<Set> operator+(Vec<Set> a, Vec<Set> b) {
  return from_parts<Vec, Set>([&](int i) NORMLAB_INLINE_LAMBDA { return a.part[i] + b.part[i]; });
}
template <typename Set>
NORMLAB_INLINE Vec<Set> operator-(Vec<Set> a, Vec<Set> b) {
  return from_parts<Vec, Set>([&](int i) NORMLAB_INLINE_LAMBDA { return a.part[i] - b.part[i]; });
}
template <typename Set>
NORMLAB_INLINE Vec<Set> operator*(Vec<Set> a, Vec<Set> b) {
  return from_parts<Vec, Set>([&](int i) NORMLAB_INLINE_LAMBDA { return a.part[i] * b.part[i]; });
}
template <typename Set>
NORMLAB_INLINE Vec<Set> operator/(Vec<Set> a, float b) {
  return from_parts<Vec, Set>([&](int i) NORMLAB_INLINE_LAMBDA { return a.part[i] / b; });
}
template <typename Set>
NORMLAB_INLINE Mask<Set> operator>(Vec<Set> a, Vec<Set> b) {
  return from_parts<Mask, Set>([&](int i) NORMLAB_INLINE_LAMBDA { return a.part[i] > b.part[i]; });
}
template <typename Set>
NORMLAB_INLINE Mask<Set> operator<=(Vec<Set> a, Vec<Set> b) {
  return from_parts<Mask, Set>([&](int i) NORMLAB_INLINE_LAMBDA { return a.part[i] <= b.part[i]; });
}
/// a where the mask is set, b elsewhere.
template <typename Set>
NORMLAB_INLINE Vec<Set> select(Mask<Set> mask, Vec<Set> a, Vec<Set> b) {
  return from_parts<Vec, Set>([&](int i)
                                  NORMLAB_INLINE_LAMBDA { return mask.part[i] ? a.part[i] : b.part[i]; });
}

template <typename Set>
NORMLAB_INLINE Vec<Set>& operator+=(Vec<Set>& a, Vec<Set> b) {
  return a = a + b;
}
template <typename Set>
NORMLAB_INLINE Vec<Set>& operator*=(Vec<Set>& a, Vec<Set> b) {
  return a = a * b;
}
/// max(v, 0); NaN stays.
template <typename Set>
NORMLAB_INLINE Vec<Set> positive(Vec<Set> v) {
  return select(zero<Set>() > v, zero<Set>(), v);
}
/// dy where the ReLU of v passed it: where v is above 0 or NaN, as in PyTorch.
template <typename Set>
NORMLAB_INLINE Vec<Set> where_positive(Vec<Set> v, Vec<Set> dy) {
  return select(v <= zero<Set>(), zero<Set>(), dy);
}

/// f(0), ..., f(kCount - 1), as straight code: what f indexes stays in registers.
template <int kCount, typename F>
NORMLAB_INLINE void unrolled(F f) {
  detail::unrolled(f, std::make_integer_sequence<int, kCount>());
}

/// As many Vecs as take up the registers that `wanted` take up with AVX-512: independent sums hide the
/// latency of additions, and the parts of a Vec are independent already.
template <typename Set>
constexpr int chains(int wanted) {
  const int fewer = wanted * Set::kWidth / kLanes;
  return fewer > 1 ? fewer : 1;
}

/// Running sums that start at zero. kWanted: see chains().
template <typename Set, int kWanted>
struct Sums {
  static constexpr int kCount = chains<Set>(kWanted);
  Vec<Set> part[kCount];

  NORMLAB_INLINE Sums() {
    unrolled<kCount>([&](int k) NORMLAB_INLINE_LAMBDA { part[k] = zero<Set>(); });
  }
  /// Added up in pairs, then pairs of pairs.
  [[nodiscard]] NORMLAB_INLINE Vec<Set> total() const {
    static_assert(kCount == 1 || kCount == 2 || kCount == 4);
    if constexpr (kCount == 4) return (part[0] + part[1]) + (part[2] + part[3]);
    if constexpr (kCount == 2) return part[0] + part[1];
    return part[0];
  }
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

}  // namespace detail

template <typename Body, typename... Arguments>
auto kernel(Arguments&&... arguments) {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return detail::run_avx512<Body>(std::forward<Arguments>(arguments)...);
  if (isa() == Isa::avx2) return detail::run_avx2<Body>(std::forward<Arguments>(arguments)...);
#endif
  return Body::template run<Portable>(std::forward<Arguments>(arguments)...);
}

}  // namespace normlab
