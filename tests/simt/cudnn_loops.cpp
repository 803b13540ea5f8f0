// Compiled without sanitizers: pointers go to copies of exactly the right size.

#include "tests/simt/cudnn_loops.hpp"

#include <cstddef>

namespace simt {
namespace {

// Calls visit(offset of x's pixel, offset of y's pixel, tap) for each pixel of y and each tap that falls on
// x.
template <typename Visit>
void for_each_tap(const Convolution& s, Visit visit) {
  for (int n = 0; n < s.n; ++n)
    for (int p = 0; p < s.out_h; ++p)
      for (int q = 0; q < s.out_w; ++q)
        for (int r = 0; r < s.kernel_h; ++r) {
          const int i = p * s.stride_h - s.pad_h + r * s.dilation_h;
          if (i < 0 || i >= s.h) continue;
          for (int t = 0; t < s.kernel_w; ++t) {
            const int j = q * s.stride_w - s.pad_w + t * s.dilation_w;
            if (j < 0 || j >= s.w) continue;
            visit((static_cast<std::ptrdiff_t>(n) * s.h + i) * s.w + j,
                  (static_cast<std::ptrdiff_t>(n) * s.out_h + p) * s.out_w + q,
                  static_cast<std::ptrdiff_t>(r) * s.kernel_w + t);
          }
        }
}

// to[j] += sum over i of a[i] b[i][j].
inline void add_products(int rows, int columns, const double* __restrict__ a, const double* __restrict__ b,
                         double* __restrict__ to) {
  for (int i = 0; i < rows; ++i) {
    const double factor = a[i];
    const double* row = b + static_cast<std::ptrdiff_t>(i) * columns;
    for (int j = 0; j < columns; ++j) to[j] += factor * row[j];
  }
}

}  // namespace

void convolve(const Convolution& s, const double* x, const double* filter, double* y) {
  for_each_tap(s, [&](std::ptrdiff_t from, std::ptrdiff_t to, std::ptrdiff_t tap) {
    add_products(s.c, s.k, x + from * s.c, filter + tap * s.c * s.k, y + to * s.k);
  });
}

void convolve_back(const Convolution& s, const double* dy, const double* filter, double* dx) {
  for_each_tap(s, [&](std::ptrdiff_t from, std::ptrdiff_t to, std::ptrdiff_t tap) {
    add_products(s.k, s.c, dy + to * s.k, filter + tap * s.c * s.k, dx + from * s.c);
  });
}

void filter_gradient(const Convolution& s, const double* x, const double* dy, double* dfilter) {
  for_each_tap(s, [&](std::ptrdiff_t from, std::ptrdiff_t to, std::ptrdiff_t tap) {
    for (int c = 0; c < s.c; ++c) {
      const double factor = x[from * s.c + c];
      const double* __restrict__ row = dy + to * s.k;
      double* __restrict__ sums = dfilter + (tap * s.c + c) * s.k;
      for (int k = 0; k < s.k; ++k) sums[k] += factor * row[k];
    }
  });
}

}  // namespace simt
