#include "host/cpu/gram.hpp"

#include <algorithm>

#include "host/cpu/vector.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

constexpr std::size_t kStretch = 1024;

struct Gram {
  static constexpr std::size_t kColumns = 4;

  template <typename Set>
  static NORMLAB_INLINE Native<Set> load(const float* p) {  // rows lie anywhere
    Native<Set> value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
  }

  /// Adds the products of kRows rows with four others, over elements [begin, end).
  template <typename Set, std::size_t kRows>
  static NORMLAB_INLINE void tile(const float* const* rows, const float* const* columns, std::size_t begin,
                                  std::size_t end, double* sums) {
    Native<Set> part[kRows][kColumns] = {};
    std::size_t at = begin;
    for (; at + Set::kWidth <= end; at += Set::kWidth) {
      Native<Set> column[kColumns];
#pragma GCC unroll 4
      for (std::size_t c = 0; c < kColumns; ++c) column[c] = load<Set>(columns[c] + at);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) {
        const Native<Set> row = load<Set>(rows[r] + at);
#pragma GCC unroll 4
        for (std::size_t c = 0; c < kColumns; ++c) part[r][c] += row * column[c];
      }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t c = 0; c < kColumns; ++c) {
        double sum = 0;
        for (int lane = 0; lane < Set::kWidth; ++lane) sum += static_cast<double>(part[r][c][lane]);
        for (std::size_t i = at; i < end; ++i) {
          sum += static_cast<double>(rows[r][i]) * static_cast<double>(columns[c][i]);
        }
        sums[r * kColumns + c] += sum;
      }
    }
  }

  template <typename Set>
  static NORMLAB_INLINE void run(const float* rows, std::size_t n, std::size_t size, double* k) {
    constexpr std::size_t kRows = Set::kRegisters >= 32 ? 4 : 2;
    const auto row = [&](std::size_t i) { return rows + std::min(i, n - 1) * size; };  // the last one again
    for (std::size_t i = 0; i < n; i += kRows) {
      for (std::size_t j = 0; j < std::min(n, i + kRows); j += kColumns) {
        const float* a[kRows];
        const float* b[kColumns];
        for (std::size_t r = 0; r < kRows; ++r) a[r] = row(i + r);
        for (std::size_t c = 0; c < kColumns; ++c) b[c] = row(j + c);
        double sums[kRows * kColumns] = {};
        for (std::size_t at = 0; at < size; at += kStretch) {
          tile<Set, kRows>(a, b, at, std::min(size, at + kStretch), sums);
        }
        for (std::size_t r = 0; r < kRows && i + r < n; ++r) {
          for (std::size_t c = 0; c < kColumns && j + c <= i + r; ++c) {
            k[(i + r) * n + j + c] = k[(j + c) * n + i + r] = sums[r * kColumns + c];
          }
        }
      }
    }
  }
};

}  // namespace

std::vector<double> gram(std::span<const float> rows, int samples) {
  if (samples < 1 || rows.size() % as_size(samples) != 0) {
    throw Error("gram: {} values are not {} samples of one size", rows.size(), samples);
  }
  const auto n = as_size(samples);
  std::vector<double> k(n * n);
  kernel<Gram>(rows.data(), n, rows.size() / n, k.data());
  return k;
}

}  // namespace normlab
