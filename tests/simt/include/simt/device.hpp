#pragma once
// What a kernel may say: qualifiers, its place in the grid, shared memory, barriers, warp operations,
// atomics.

#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "simt/types.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

// Rewritten whenever another thread goes on.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;

namespace simt {

using Place = std::source_location;

struct SharedTag {
  const char* name;
  std::uint64_t launch = 0;
  std::size_t offset = 0;
};
void* static_shared(SharedTag& tag, std::size_t bytes, std::size_t alignment);
void* dynamic_shared();

enum class WarpOperation { kSync, kShuffle, kShuffleUp, kShuffleDown, kShuffleXor, kBallot, kAll, kAny };
void barrier(const Place& place);
/// A barrier at which every thread learns how many had a predicate that is not 0.
int barrier_count(int predicate, const Place& place);
/// Waits until all lanes in the mask are here. Returns what the operation gives this lane.
std::uint64_t warp(WarpOperation operation, unsigned mask, std::uint64_t value, int argument, int width,
                   const Place& place);
[[noreturn]] void trap(const Place& place);

template <typename T>
T shuffle(WarpOperation operation, unsigned mask, T value, int argument, int width, const Place& place) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp(operation, mask, bits, argument, width, place);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace simt

#define SIMT_HERE const ::simt::Place& place = ::simt::Place::current()

inline void __syncthreads(SIMT_HERE) {
  ::simt::barrier(place);
}
inline int __syncthreads_count(int predicate, SIMT_HERE) {
  return ::simt::barrier_count(predicate, place);
}
inline int __syncthreads_or(int predicate, SIMT_HERE) {
  return ::simt::barrier_count(predicate, place) != 0;
}
inline int __syncthreads_and(int predicate, SIMT_HERE) {
  return ::simt::barrier_count(predicate == 0, place) == 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFF, SIMT_HERE) {
  ::simt::warp(::simt::WarpOperation::kSync, mask, 0, 0, 32, place);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SIMT_HERE) {
  return ::simt::shuffle(::simt::WarpOperation::kShuffle, mask, value, lane, width, place);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
  return ::simt::shuffle(::simt::WarpOperation::kShuffleUp, mask, value, static_cast<int>(delta), width,
                         place);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
  return ::simt::shuffle(::simt::WarpOperation::kShuffleDown, mask, value, static_cast<int>(delta), width,
                         place);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SIMT_HERE) {
  return ::simt::shuffle(::simt::WarpOperation::kShuffleXor, mask, value, lanes, width, place);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_HERE) {
  return static_cast<unsigned>(
      ::simt::warp(::simt::WarpOperation::kBallot, mask, predicate != 0, 0, 32, place));
}
inline int __any_sync(unsigned mask, int predicate, SIMT_HERE) {
  return static_cast<int>(::simt::warp(::simt::WarpOperation::kAny, mask, predicate != 0, 0, 32, place));
}
inline int __all_sync(unsigned mask, int predicate, SIMT_HERE) {
  return static_cast<int>(::simt::warp(::simt::WarpOperation::kAll, mask, predicate != 0, 0, 32, place));
}

/// Ends the kernel with an error.
[[noreturn]] inline void __trap(SIMT_HERE) {
  ::simt::trap(place);
}

#undef SIMT_HERE

// Threads run one after the other, so that these need no fence; ThreadSanitizer takes them for what they are.
inline void __threadfence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence_block() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

// Atomics on integers. There are none on floats: their sums would depend on the order.
#define SIMT_ATOMICS(type)                                                                             \
  inline type atomicAdd(type* at, type value) {                                                        \
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);                                            \
  }                                                                                                    \
  inline type atomicOr(type* at, type value) {                                                         \
    return __atomic_fetch_or(at, value, __ATOMIC_RELAXED);                                             \
  }                                                                                                    \
  inline type atomicAnd(type* at, type value) {                                                        \
    return __atomic_fetch_and(at, value, __ATOMIC_RELAXED);                                            \
  }                                                                                                    \
  inline type atomicExch(type* at, type value) {                                                       \
    return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);                                           \
  }                                                                                                    \
  inline type atomicCAS(type* at, type expected, type value) {                                         \
    __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);      \
    return expected;                                                                                   \
  }                                                                                                    \
  inline type atomicMax(type* at, type value) {                                                        \
    type old = __atomic_load_n(at, __ATOMIC_RELAXED);                                                  \
    while (old < value &&                                                                              \
           !__atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
    }                                                                                                  \
    return old;                                                                                        \
  }                                                                                                    \
  inline type atomicMin(type* at, type value) {                                                        \
    type old = __atomic_load_n(at, __ATOMIC_RELAXED);                                                  \
    while (value < old &&                                                                              \
           !__atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
    }                                                                                                  \
    return old;                                                                                        \
  }
SIMT_ATOMICS(int)
SIMT_ATOMICS(unsigned)
SIMT_ATOMICS(unsigned long long)
#undef SIMT_ATOMICS
