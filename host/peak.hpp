#pragma once

namespace normlab {

/// GFLOP/s of fused multiply-adds that never leave the registers, on `threads` threads at once for about
/// `seconds`: the ceiling that convolutions are measured against.
[[nodiscard]] double measure_fma_peak(int threads, double seconds = 0.1);

}  // namespace normlab
