#pragma once
// How a native activation lies in host memory: channels in blocks of 16, padded with zeros. The stride
// between pixels and the stride between blocks tell the two layouts apart:
//   blocked (oneDNN's nChw16c, fastest with AVX-512)       pixel 16, block h*w*16
//   nhwc    (elsewhere, and for bf16 where there is AMX)   pixel padded c, block 16
// With 16 channels or fewer they are the same. Own kernels are written for both.

#include "host/cpu/vector.hpp"
#include "layers/tensor.hpp"

namespace normlab {

struct HostLayout {
  int blocks = 0;             ///< of 16 channels
  std::ptrdiff_t pixels = 0;  ///< of one sample
  std::ptrdiff_t sample = 0;  ///< elements from one sample to the next
  std::ptrdiff_t block = 0;   ///< elements from one block to the next
  std::ptrdiff_t pixel = 0;   ///< elements from one pixel to the next

  HostLayout(const Shape& shape, bool blocked)
      : blocks((shape.c + kLanes - 1) / kLanes),
        pixels(shape.pixels()),
        sample(pixels * blocks * kLanes),
        block(blocked ? pixels * kLanes : kLanes),
        pixel(blocked ? kLanes : static_cast<std::ptrdiff_t>(blocks) * kLanes) {}

  [[nodiscard]] std::ptrdiff_t at(int n, int c, int p) const {
    return n * sample + (c / kLanes) * block + p * pixel + c % kLanes;
  }
  [[nodiscard]] int padded_channels() const { return blocks * kLanes; }
};

}  // namespace normlab
