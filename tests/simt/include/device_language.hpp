#pragma once
// What kernels must say otherwise to nvcc than to the emulator; cuda/native/device_language.hpp is the other
// half.

#include "cuda_runtime.h"
#include "platform.hpp"

/// `type name[count]` in the block's shared memory, one for each place in the source. Unset: every byte is
/// 0xFF.
#define NORMLAB_SHARED(type, name, count)            \
  static ::simt::SharedTag name##_tag{#name};        \
  type(&name)[count] = *static_cast<type(*)[count]>( \
      ::simt::static_shared(name##_tag, sizeof(type) * static_cast<std::size_t>(count), alignof(type)))

#define NORMLAB_PRAGMA(text) _Pragma(#text)
#define NORMLAB_UNROLL NORMLAB_PRAGMA(GCC unroll 8)

namespace normlab {

/// The block's dynamic shared memory, aligned to 16 bytes. Unset: every byte is 0xFF.
template <typename T>
T* dynamic_shared() {
  static_assert(alignof(T) <= 16);
  return static_cast<T*>(::simt::dynamic_shared());
}

}  // namespace normlab
