#pragma once
// What the two compilers of cuda/ say differently, as nvcc says it. tests/simt/include has a header of the
// same name for plain C++; the include path chooses. There is no other seam.

#include <cuda_runtime.h>

#include "platform.hpp"

/// An array of the block.
#define NORMLAB_SHARED(type, name, count) __shared__ type name[count]
#define NORMLAB_UNROLL _Pragma("unroll")

namespace normlab {

/// The block's dynamic shared memory, aligned to 16 bytes.
template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ uint4 normlab_dynamic_shared[];
  return reinterpret_cast<T*>(normlab_dynamic_shared);
}

}  // namespace normlab
