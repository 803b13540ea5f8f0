#pragma once
// 16 bytes at a time: the unit in which every memory-bound kernel reads and writes.

#include <cuda_bf16.h>

#include "device_language.hpp"
#include "layers/data_type.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Activations as kernels see them: float or __nv_bfloat16.
template <typename T>
using Element = std::conditional_t<std::is_same_v<T, Bf16>, __nv_bfloat16, float>;

/// Elements in 16 bytes. Channels are padded to 8, so a pixel is a whole number of them.
template <typename T>
inline constexpr int kWidth = 16 / static_cast<int>(sizeof(T));

/// 16 bytes as they lie in memory.
using Raw = uint4;

template <typename T>
__device__ inline Raw load_raw(const T* from) {
  return __ldg(reinterpret_cast<const Raw*>(from));
}
/// The intrinsic, because nvcc takes a plain store of selected values apart. `to` is global memory.
template <typename T>
__device__ inline void store_raw(T* to, Raw raw) {
  __stwb(reinterpret_cast<Raw*>(to), raw);
}

__device__ inline void widen(Raw raw, float (&v)[4]) {
  v[0] = __uint_as_float(raw.x);
  v[1] = __uint_as_float(raw.y);
  v[2] = __uint_as_float(raw.z);
  v[3] = __uint_as_float(raw.w);
}
/// The lower half of a word is the first of two.
__device__ inline void widen(Raw raw, float (&v)[8]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
  NORMLAB_UNROLL
  for (int i = 0; i < 4; ++i) {
    v[2 * i] = __uint_as_float(words[i] << 16);
    v[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000U);
  }
}

__device__ inline Raw narrow(const float (&v)[4]) {
  return {__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3])};
}
__device__ inline unsigned pair(float low, float high) {
  return static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(low))) |
         (static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16);
}
__device__ inline Raw narrow(const float (&v)[8]) {
  return {pair(v[0], v[1]), pair(v[2], v[3]), pair(v[4], v[5]), pair(v[6], v[7])};
}

__device__ inline float to_float(float value) {
  return value;
}
__device__ inline float to_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}
template <typename T>
__device__ inline T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return __float2bfloat16_rn(value);
  }
}

/// z = scale t + beta, the value before the activation. Forward and backward both call it, so that they agree
/// on which values the ReLU passed.
__device__ inline float affine(float t, float scale, float beta) {
  return fmaf(t, scale, beta);
}

/// max(v, 0); NaN stays.
__device__ inline float positive(float v) {
  return v <= 0.0F ? 0.0F : v;
}
/// dy where the ReLU of z passed it: where z is above 0 or NaN, as in PyTorch.
__device__ inline float where_positive(float z, float dy) {
  return z <= 0.0F ? 0.0F : dy;
}

}  // namespace normlab::NORMLAB_PLATFORM
