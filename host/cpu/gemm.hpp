#pragma once
// Small matrix products with everything in registers, for channel counts of 16 to a few hundred. Sums run
// over the inner index in ascending order, so a result does not depend on how rows and columns are cut.

#include "host/cpu/vector.hpp"

namespace normlab {

/// Rows of A, channels in blocks of 16: element (row, i) is at data[row * row_stride + i / 16 * block + i %
/// 16].
struct Rows {
  const float* data;
  std::ptrdiff_t row, block;

  [[nodiscard]] NORMLAB_INLINE const float* at(int b) const { return data + b * block; }
  [[nodiscard]] NORMLAB_INLINE Rows from(int r) const { return {data + r * row, row, block}; }
};

/// The same, with blocks that lie anywhere.
struct ScatteredRows {
  const float* data;
  std::ptrdiff_t row;
  const std::ptrdiff_t* blocks;

  [[nodiscard]] NORMLAB_INLINE const float* at(int b) const { return data + blocks[b]; }
  [[nodiscard]] NORMLAB_INLINE ScatteredRows from(int r) const { return {data + r * row, row, blocks}; }
};

namespace detail {

/// R rows, V registers wide: sum over i of a(row, i) b(i, column), from `first` (null: 0) on.
template <typename Set, int R, int V, typename A, typename Store>
NORMLAB_INLINE void multiply_tile(A a, int blocks, const float* b, std::ptrdiff_t b_row, const float* first,
                                  Store&& store) {
  constexpr int kWidth = Set::kWidth;
  Native<Set> sum[R][V];
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      sum[r][v] = first == nullptr ? Native<Set>{} : load_native<Set>(first + v * kWidth);
  }
  for (int block = 0; block < blocks; ++block) {
    constexpr int kQuads = (R + 3) / 4;
    const float* quad[kQuads];  // rows 0 to 3, 4 to 7, ...
    for (int q = 0; q < kQuads; ++q) quad[q] = a.at(block) + 4 * q * a.row;
    for (int i = 0; i < kLanes; ++i, b += b_row) {
      // Left alone, the compiler keeps a pointer for each row, and some of them in memory: loads are what is
      // scarce.
      for (int q = 0; q < kQuads; ++q) asm("" : "+r"(quad[q]));
      Native<Set> column[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) column[v] = load_native<Set>(b + v * kWidth);
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) {
        const float scalar = quad[r / 4][r % 4 * a.row];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] += scalar * column[v];
      }
      for (int q = 0; q < kQuads; ++q) ++quad[q];
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(r, v * kWidth, sum[r][v]);
  }
}

template <typename Set, int R, int V, typename A, typename Store>
NORMLAB_INLINE void multiply_columns(A a, int rows, int blocks, const float* b, std::ptrdiff_t b_row,
                                     const float* first, Store&& store) {
  int row = 0;
  const auto shifted = [&](int r, int column, Native<Set> value)
                           NORMLAB_INLINE_LAMBDA { store(row + r, column, value); };
  for (; row + R <= rows; row += R) {
    multiply_tile<Set, R, V>(a.from(row), blocks, b, b_row, first, shifted);
  }
  if constexpr (R > 4) {
    for (; row + 4 <= rows; row += 4) {
      multiply_tile<Set, 4, V>(a.from(row), blocks, b, b_row, first, shifted);
    }
  }
  for (; row < rows; ++row) multiply_tile<Set, 1, V>(a.from(row), blocks, b, b_row, first, shifted);
}

}  // namespace detail

/// store(row, column, register) gets a (rows, blocks * 16) times b (blocks * 16, columns), plus `first`
/// (columns) if it is not null. columns is a multiple of 16; b's rows are b_row apart.
template <typename Set, typename A = Rows, typename Store>
NORMLAB_INLINE void multiply(A a, int rows, int blocks, const float* b, std::ptrdiff_t b_row, int columns,
                             const float* first, Store&& store) {
  constexpr bool kMany = Set::kRegisters >= 32;
  constexpr int kStep = 2 * Set::kWidth;
  int column = 0;
  const auto shifted = [&](int row, int c, Native<Set> value)
                           NORMLAB_INLINE_LAMBDA { store(row, column + c, value); };
  const auto from = [&] { return first == nullptr ? nullptr : first + column; };
  for (; column + kStep <= columns; column += kStep) {
    detail::multiply_columns<Set, kMany ? 8 : 6, 2>(a, rows, blocks, b + column, b_row, from(), shifted);
  }
  if constexpr (kLanes % kStep != 0) {
    for (; column < columns; column += Set::kWidth) {
      detail::multiply_columns<Set, kMany ? 16 : 8, 1>(a, rows, blocks, b + column, b_row, from(), shifted);
    }
  }
}

/// How many products of a gradient are added up before their sum is added to what stands in memory: one sum
/// over all pixels of a large map would round away more.
inline constexpr int kOuterRun = 256;

namespace detail {

template <typename Set, int R, int V>
NORMLAB_INLINE void outer_tile(const float* a, std::ptrdiff_t a_row, int rows, Rows b, float* sum_at,
                               std::ptrdiff_t sum_row, bool overwrite) {
  constexpr int kWidth = Set::kWidth;
  for (int first = 0; first < rows; first += kOuterRun) {
    Native<Set> sum[R][V] = {};
    const int end = rows < first + kOuterRun ? rows : first + kOuterRun;
    for (int row = first; row < end; ++row, a += a_row, b.data += b.row) {
      Native<Set> column[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        column[v] = load_native<Set>(b.data + v * kWidth / kLanes * b.block + v * kWidth % kLanes);
      }
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] += a[r] * column[v];
      }
    }
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        float* to = sum_at + r * sum_row + v * kWidth;
        store_native<Set>(to, overwrite && first == 0 ? sum[r][v] : load_native<Set>(to) + sum[r][v]);
      }
    }
  }
}

}  // namespace detail

/// sum (a_blocks * 16, b_blocks * 16; rows sum_row apart) = or += a^T b, summed over `rows` rows of both.
template <typename Set>
NORMLAB_INLINE void multiply_outer(Rows a, int a_blocks, Rows b, int b_blocks, int rows, float* sum,
                                   std::ptrdiff_t sum_row, bool overwrite) {
  constexpr bool kMany = Set::kRegisters >= 32;
  constexpr int kStep = 2 * Set::kWidth;
  for (int block = 0; block < a_blocks; ++block, sum += kLanes * sum_row) {
    const float* rows_of_a = a.data + block * a.block;
    int column = 0;
    const auto b_at = [&] {
      return Rows{b.data + column / kLanes * b.block + column % kLanes, b.row, b.block};
    };
    for (; column + kStep <= b_blocks * kLanes; column += kStep) {
      constexpr int kRows = kMany ? 8 : 4;
      for (int i = 0; i < kLanes; i += kRows) {
        detail::outer_tile<Set, kRows, 2>(rows_of_a + i, a.row, rows, b_at(), sum + i * sum_row + column,
                                          sum_row, overwrite);
      }
    }
    if constexpr (kLanes % kStep != 0) {
      for (; column < b_blocks * kLanes; column += Set::kWidth) {
        constexpr int kRows = kMany ? 16 : 8;
        for (int i = 0; i < kLanes; i += kRows) {
          detail::outer_tile<Set, kRows, 1>(rows_of_a + i, a.row, rows, b_at(), sum + i * sum_row + column,
                                            sum_row, overwrite);
        }
      }
    }
  }
}

}  // namespace normlab
