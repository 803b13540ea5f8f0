#pragma once

#include <cstddef>

namespace normlab {

/// GFLOP/s of fused multiply-adds that never leave the registers, on `threads` threads at once for about
/// `seconds`: the ceiling that convolutions are measured against.
[[nodiscard]] double measure_fma_peak(int threads, double seconds = 0.1);

/// GB/s of a[i] = b[i] + s c[i] over `bytes` of memory for each thread (the three arrays together), on
/// `threads` threads at once for about `seconds`: the ceiling that normalizations are measured against. Bytes
/// read and written count, and nothing that the hardware moves beyond them.
[[nodiscard]] double measure_bandwidth(int threads, std::size_t bytes, double seconds = 0.05);

/// What fits a core's second-level cache with room to spare, and what no cache of the machine holds.
[[nodiscard]] std::size_t cache_bytes_per_thread();
[[nodiscard]] std::size_t memory_bytes_per_thread(int threads);

}  // namespace normlab
