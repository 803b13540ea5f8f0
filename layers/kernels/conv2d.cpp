#include "layers/kernels/conv2d.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "layers/error.hpp"

namespace normlab {

void Conv2dSpec::check() const {
  if (std::min({x.n, x.c, x.h, x.w}) < 1) {
    throw Error("a convolution of an input of {}; samples, channels, rows and columns must be at least 1",
                x.str());
  }
  if (out_channels < 1) {
    throw Error("a convolution with {} output channels; it needs at least one", out_channels);
  }
  if (kernel < 1) throw Error("a convolution with a {0}x{0} kernel; choose at least 1x1", kernel);
  if (stride < 1) throw Error("a convolution with stride {}; choose at least 1", stride);
  if (padding < 0) throw Error("a convolution with padding {}; choose at least 0", padding);
  const auto padded = [&](int extent) { return std::int64_t{extent} + 2 * std::int64_t{padding}; };
  if (padded(std::max(x.h, x.w)) > std::numeric_limits<int>::max()) {
    throw Error("a convolution with padding {} around an input of {}x{}; choose less", padding, x.h, x.w);
  }
  if (padded(std::min(x.h, x.w)) < kernel) {
    throw Error("input {0}x{1} is smaller than the {2}x{2} kernel; use fewer pools or larger images", x.h,
                x.w, kernel);
  }
}

}  // namespace normlab
