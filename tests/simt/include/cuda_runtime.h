#pragma once
// The emulated CUDA platform: what cuda/ uses of CUDA's own header of this name. See tests/simt/README.md.

#if defined(__CUDACC__) || defined(__VECTOR_TYPES_H__) || defined(__CUDA_RUNTIME_H__)
#error \
    "The headers of the CUDA toolkit and those of tests/simt cannot be mixed: compile without nvcc and without the toolkit's include directory."
#endif

#include "simt/types.hpp"
// What a kernel may say, then what the host may call.
#include "simt/device.hpp"
#include "simt/device_math.hpp"
#include "simt/runtime.hpp"
