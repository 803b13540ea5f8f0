#pragma once
// What the emulated cuDNN and cuBLAS share: memory of the device as doubles, and their work in streams.

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "simt/runtime.hpp"

namespace simt {

enum class Number { kFloat, kBf16 };
[[nodiscard]] constexpr std::size_t bytes_of(Number type) {
  return type == Number::kFloat ? 4 : 2;
}

/// A tensor in memory: logical dimensions and the elements from one to the next of each.
struct Strided {
  Number type = Number::kFloat;
  int dims[4] = {};
  std::ptrdiff_t strides[4] = {};

  [[nodiscard]] std::size_t values() const;
  /// From the first byte to behind the last.
  [[nodiscard]] std::size_t extent_bytes() const;
};

/// The values in the order of `dims`, the last fastest. `tf32`: rounded to 10 bits of mantissa.
[[nodiscard]] std::vector<double> gather(const void* data, const Strided& tensor, bool tf32 = false);
/// to = alpha values + beta to; with beta = 0 it is only written.
void scatter(const std::vector<double>& values, double alpha, double beta, const Strided& tensor, void* to);

/// What a call may use of its workspace is overwritten, in the order of the stream.
struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// Puts the work of a library's call into the stream. False: the stream answers with an error.
[[nodiscard]] bool submit_call(cudaStream_t stream, const Workspace& workspace, std::function<void()> work);

}  // namespace simt
