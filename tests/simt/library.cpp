#include "tests/simt/library.hpp"

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "cuda_bf16.h"
#include "tests/simt/machine.hpp"
#include "tests/simt/queue.hpp"
#include "tests/simt/ranges.hpp"

namespace simt {
namespace {

// Round to nearest even at the 13th bit from below.
float to_tf32(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7F800000) == 0x7F800000) return value;
  bits += 0xFFF + ((bits >> 13) & 1);
  return std::bit_cast<float>(bits & ~std::uint32_t{0x1FFF});
}

double load(const void* data, Number type, std::ptrdiff_t at) {
  if (type == Number::kFloat) return static_cast<const float*>(data)[at];
  return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[at]);
}

void store(void* data, Number type, std::ptrdiff_t at, double value) {
  const auto rounded = static_cast<float>(value);
  if (type == Number::kFloat) {
    static_cast<float*>(data)[at] = rounded;
  } else {
    static_cast<__nv_bfloat16*>(data)[at] = __float2bfloat16_rn(rounded);
  }
}

template <typename Visit>
void for_each(const Strided& t, Visit visit) {
  std::size_t index = 0;
  for (int a = 0; a < t.dims[0]; ++a)
    for (int b = 0; b < t.dims[1]; ++b)
      for (int c = 0; c < t.dims[2]; ++c)
        for (int d = 0; d < t.dims[3]; ++d)
          visit(index++, a * t.strides[0] + b * t.strides[1] + c * t.strides[2] + d * t.strides[3]);
}

}  // namespace

std::size_t Strided::values() const {
  std::size_t product = 1;
  for (const int dim : dims) product *= static_cast<std::size_t>(dim);
  return product;
}

std::size_t Strided::extent_bytes() const {
  std::ptrdiff_t last = 0;
  for (int i = 0; i < 4; ++i) last += (dims[i] - 1) * strides[i];
  return static_cast<std::size_t>(last + 1) * bytes_of(type);
}

std::vector<double> gather(const void* data, const Strided& tensor, bool tf32) {
  std::vector<double> values(tensor.values());
  for_each(tensor, [&](std::size_t index, std::ptrdiff_t at) {
    const double value = load(data, tensor.type, at);
    values[index] = tf32 ? static_cast<double>(to_tf32(static_cast<float>(value))) : value;
  });
  return values;
}

void scatter(const std::vector<double>& values, double alpha, double beta, const Strided& tensor, void* to) {
  for_each(tensor, [&](std::size_t index, std::ptrdiff_t at) {
    const double old = beta != 0 ? beta * load(to, tensor.type, at) : 0.0;
    store(to, tensor.type, at, alpha * values[index] + old);
  });
}

bool submit_call(cudaStream_t handle, const Workspace& workspace, std::function<void()> work) {
  const cudaStream_t stream = find_stream(handle);
  if (stream && !stream->capture) count_launch();
  return submit(handle, [workspace, work = std::move(work)] {
           ++mutable_counters().library_calls;
           if (workspace.data) std::memset(workspace.data, 0xFF, workspace.bytes);
           work();
           return Problem{};
         }) == cudaSuccess;
}

}  // namespace simt
