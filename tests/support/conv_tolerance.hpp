#pragma once
// How near a convolution in fp32 has to be to the reference: 1e-5 of sum |a_i b_i|, which the reference
// computes from absolute values. Winograd's algorithm rounds in proportion to what is summed for a whole 4x4
// tile, so an output may also be off by 1e-6 of the largest sum within three pixels, and a tap's gradient by
// its kernel's largest.

#include "tests/support/layer_check.hpp"

namespace normlab::test {

/// 1e-5 of each size, plus 1e-6 of the largest within three pixels.
reference::Values conv_tolerance(const reference::Tensor& size);

/// Of a weight gradient: by each tap's own size and the largest of its kernel's taps.
reference::Values tap_tolerance(const reference::Values& size, int taps, double relative);

}  // namespace normlab::test
