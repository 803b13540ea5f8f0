#pragma once
// Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016, "Fast algorithms for convolutional neural
// networks", section 4.3): a 4x4 tile of a 3x3 convolution takes 36 multiplications a channel pair instead of
// 144. With d a 6x6 tile of the input, g a 3x3 kernel, and * element by element,
//   y = A^T [ (G g G^T) * (B^T d B) ] A                forward, and backward data with the kernel turned
//   round dg = G^T [ sum over tiles of (B^T d B) * (A dy A^T) ] G       backward weights: its transpose
// The points of interpolation are 0, +-1/sqrt(2), +-sqrt(2) and infinity: with them all of it in fp32 rounds
// half as much as with the usual 0, +-1, +-2 (5e-7 of the result's size for 16 channels, against 1e-6; a
// direct sum 1e-7).
//
// Here are the transforms of one tile of `Set::kWidth` channels. Element (i, j) of a transformed tile is
// stored (6 i + j) * step floats after the first.

#include "host/cpu/gemm.hpp"

namespace normlab::winograd {

inline constexpr int kOutput = 4;  ///< rows and columns of an output tile
inline constexpr int kInput = 6;   ///< of an input tile, and of a transformed one
inline constexpr int kPoints = kInput * kInput;

/// The points +-kNear and +-kFar, their squares, and 1 / the product of a point's distances to the other
/// four.
inline constexpr float kNear = 0.70710678F, kNear2 = 0.5F, kNearScale = -1.0F / 1.5F;
inline constexpr float kFar = 1.41421356F, kFar2 = 2.0F, kFarScale = 1.0F / 6.0F;

/// Where a tile lies: element (row, column) at data + row * this->row + column * this->pixel.
template <typename T>
struct Tile {
  T* data;
  std::ptrdiff_t pixel, row;
};

template <typename V>
NORMLAB_INLINE void input_row_left(const V (&d)[6], V (&t)[3]) {
  const V even = d[4] - kFar2 * d[2], odd = d[3] - kFar2 * d[1];
  t[0] = d[0] + d[4] - (kNear2 + kFar2) * d[2];
  t[1] = even + kNear * odd;
  t[2] = even - kNear * odd;
}

template <typename V>
NORMLAB_INLINE void input_row_right(const V (&d)[6], V (&t)[3]) {
  const V even = d[4] - kNear2 * d[2], odd = d[3] - kNear2 * d[1];
  t[0] = even + kFar * odd;
  t[1] = even - kFar * odd;
  t[2] = d[1] + d[5] - (kNear2 + kFar2) * d[3];
}

/// The rows of an input tile, each from its first column on.
template <typename T>
struct TileRows {
  const T* row[kInput];
  std::ptrdiff_t pixel;
};

/// t = B^T d B. kFirst, kLast: whether the first and the last column are there; if not, they are zeros. Half
/// of the columns at a time: 18 values and what they come from fit in 32 registers.
template <typename Set, bool kFirst, bool kLast, typename T>
NORMLAB_INLINE void transform_input(const TileRows<T>& d, float* t, std::ptrdiff_t step) {
  using V = Native<Set>;
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    V rows[6][3];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
      V pixels[6] = {};
#pragma GCC unroll 6
      for (int j = half; j < 5 + half; ++j) {
        if ((j > 0 || kFirst) && (j < 5 || kLast)) pixels[j] = load_native<Set>(d.row[i] + j * d.pixel);
      }
      half == 0 ? input_row_left(pixels, rows[i]) : input_row_right(pixels, rows[i]);
    }
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
      const V column[6] = {rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]};
      V top[3], bottom[3];
      input_row_left(column, top);
      input_row_right(column, bottom);
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        store_native<Set>(t + (6 * i + 3 * half + j) * step, top[i]);
        store_native<Set>(t + (6 * (i + 3) + 3 * half + j) * step, bottom[i]);
      }
    }
  }
}

template <typename V>
NORMLAB_INLINE void output_row(const V (&m)[6], V (&y)[4]) {
  const V near = m[1] + m[2], near_odd = m[1] - m[2], far = m[3] + m[4], far_odd = m[3] - m[4];
  y[0] = m[0] + near + far;
  y[1] = kNear * near_odd + kFar * far_odd;
  y[2] = kNear2 * near + kFar2 * far;
  y[3] = m[5] + kNear * kNear2 * near_odd + kFar * kFar2 * far_odd;
}

/// y = A^T m A + bias.
template <typename Set, typename T>
NORMLAB_INLINE void transform_output(const float* m, std::ptrdiff_t step, Native<Set> bias, Tile<T> y) {
  using V = Native<Set>;
  V columns[4][6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    V points[6], out[4];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) points[i] = load_native<Set>(m + (6 * i + j) * step);
    output_row(points, out);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) columns[i][j] = out[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    V out[4];
    output_row(columns[i], out);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) store_native<Set>(y.data + i * y.row + j * y.pixel, out[j] + bias);
  }
}

template <typename V>
NORMLAB_INLINE void gradient_row(const V (&y)[4], V (&t)[6]) {
  const V near = y[0] + kNear2 * y[2], near_odd = kNear * (y[1] + kNear2 * y[3]);
  const V far = y[0] + kFar2 * y[2], far_odd = kFar * (y[1] + kFar2 * y[3]);
  t[0] = y[0];
  t[1] = near + near_odd;
  t[2] = near - near_odd;
  t[3] = far + far_odd;
  t[4] = far - far_odd;
  t[5] = y[3];
}

/// t = A dy A^T.
template <typename Set, typename T>
NORMLAB_INLINE void transform_gradient(Tile<const T> dy, float* t, std::ptrdiff_t step) {
  using V = Native<Set>;
  V rows[4][6];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    V pixels[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) pixels[j] = load_native<Set>(dy.data + i * dy.row + j * dy.pixel);
    gradient_row(pixels, rows[i]);
  }
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const V column[4] = {rows[0][j], rows[1][j], rows[2][j], rows[3][j]};
    V out[6];
    gradient_row(column, out);
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) store_native<Set>(t + (6 * i + j) * step, out[i]);
  }
}

template <typename V>
NORMLAB_INLINE void kernel_row(const V (&g)[3], V (&t)[6]) {
  const V near = g[0] + kNear2 * g[2], far = g[0] + kFar2 * g[2];
  t[0] = g[0];
  t[1] = (near + kNear * g[1]) * kNearScale;
  t[2] = (near - kNear * g[1]) * kNearScale;
  t[3] = (far + kFar * g[1]) * kFarScale;
  t[4] = (far - kFar * g[1]) * kFarScale;
  t[5] = g[2];
}

/// t = G g G^T; tap (i, j) of g at g + (3 i + j) * g_step.
template <typename Set>
NORMLAB_INLINE void transform_kernel(const float* g, std::ptrdiff_t g_step, float* t, std::ptrdiff_t step) {
  using V = Native<Set>;
  V rows[3][6];
  for (int i = 0; i < 3; ++i) {
    V taps[3];
    for (int j = 0; j < 3; ++j) taps[j] = load_native<Set>(g + (3 * i + j) * g_step);
    kernel_row(taps, rows[i]);
  }
  for (int j = 0; j < 6; ++j) {
    const V column[3] = {rows[0][j], rows[1][j], rows[2][j]};
    V out[6];
    kernel_row(column, out);
    for (int i = 0; i < 6; ++i) store_native<Set>(t + (6 * i + j) * step, out[i]);
  }
}

template <typename V>
NORMLAB_INLINE void kernel_gradient_row(const V (&t)[6], V (&g)[3]) {
  const V near = kNearScale * (t[1] + t[2]), far = kFarScale * (t[3] + t[4]);
  g[0] = t[0] + near + far;
  g[1] = kNear * kNearScale * (t[1] - t[2]) + kFar * kFarScale * (t[3] - t[4]);
  g[2] = t[5] + kNear2 * near + kFar2 * far;
}

/// dg += G^T t G.
template <typename Set>
NORMLAB_INLINE void add_kernel_gradient(const float* t, std::ptrdiff_t step, float* dg,
                                        std::ptrdiff_t g_step) {
  using V = Native<Set>;
  V columns[3][6];
  for (int j = 0; j < 6; ++j) {
    V points[6], out[3];
    for (int i = 0; i < 6; ++i) points[i] = load_native<Set>(t + (6 * i + j) * step);
    kernel_gradient_row(points, out);
    for (int i = 0; i < 3; ++i) columns[i][j] = out[i];
  }
  for (int i = 0; i < 3; ++i) {
    V out[3];
    kernel_gradient_row(columns[i], out);
    for (int j = 0; j < 3; ++j) {
      float* tap = dg + (3 * i + j) * g_step;
      store_native<Set>(tap, load_native<Set>(tap) + out[j]);
    }
  }
}

}  // namespace normlab::winograd
