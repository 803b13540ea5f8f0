#pragma once
// Marks in time for NVTX ranges.

namespace simt {

/// A kernel was launched, or a library called: the ranges that are open enclose it.
void count_launch();

}  // namespace simt
