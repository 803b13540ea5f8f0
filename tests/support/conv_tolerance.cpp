#include "tests/support/conv_tolerance.hpp"

#include <algorithm>

namespace normlab::test {

reference::Values conv_tolerance(const reference::Tensor& size) {
  reference::Values result = size.v;
  for (int n = 0; n < size.n; ++n) {
    for (int c = 0; c < size.c; ++c) {
      const std::size_t map =
          static_cast<std::size_t>(n * size.c + c) * static_cast<std::size_t>(size.h * size.w);
      for (int i = 0; i < size.h; ++i) {
        for (int j = 0; j < size.w; ++j) {
          double largest = 0;
          for (int k = std::max(0, i - 3); k < std::min(size.h, i + 4); ++k) {
            for (int l = std::max(0, j - 3); l < std::min(size.w, j + 4); ++l) {
              largest = std::max(largest, size.v[map + static_cast<std::size_t>(k * size.w + l)]);
            }
          }
          const std::size_t at = map + static_cast<std::size_t>(i * size.w + j);
          result[at] = 1e-5 * size.v[at] + 1e-6 * largest;
        }
      }
    }
  }
  return result;
}

reference::Values tap_tolerance(const reference::Values& size, int taps, double relative) {
  reference::Values result = scaled(size, relative);
  const auto step = static_cast<std::ptrdiff_t>(taps);
  for (auto kernel = result.begin(); kernel != result.end(); kernel += step) {
    const double largest = *std::max_element(kernel, kernel + step);
    for (auto tap = kernel; tap != kernel + step; ++tap) *tap += 0.1 * largest;
  }
  return result;
}

}  // namespace normlab::test
