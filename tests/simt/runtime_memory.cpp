// Allocation, copies, fills.

#include <fmt/format.h>

#include <cstring>

#include "simt/runtime.hpp"
#include "tests/simt/machine.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"

using namespace simt;

namespace {

struct Copy {
  void* to;
  const void* from;
  std::size_t to_pitch, from_pitch, width, height;
  cudaMemcpyKind kind;
};

bool uses_device(const void* at) {
  const Allocation* found = memory.find(at);
  return memory.on_device(at) || (found && !found->pinned);
}

bool is_pinned(const void* at) {
  const Allocation* found = memory.find(at);
  return found && found->pinned;
}

void execute(const Copy& copy) {
  for (std::size_t row = 0; row < copy.height; ++row) {
    std::memmove(static_cast<std::byte*>(copy.to) + row * copy.to_pitch,
                 static_cast<const std::byte*>(copy.from) + row * copy.from_pitch, copy.width);
  }
}

// Both ends where the direction says they are, and as long as the copy.
Problem check(const Copy& copy) {
  const bool to_device = copy.kind == cudaMemcpyHostToDevice || copy.kind == cudaMemcpyDeviceToDevice;
  const bool from_device = copy.kind == cudaMemcpyDeviceToHost || copy.kind == cudaMemcpyDeviceToDevice;
  const std::size_t to_bytes = (copy.height - 1) * copy.to_pitch + copy.width;
  const std::size_t from_bytes = (copy.height - 1) * copy.from_pitch + copy.width;
  const std::string to =
      to_device ? memory.why_not_device(copy.to, to_bytes) : memory.why_not_host(copy.to, to_bytes);
  if (!to.empty()) return {cudaErrorInvalidValue, "copy to: " + to};
  const std::string from =
      from_device ? memory.why_not_device(copy.from, from_bytes) : memory.why_not_host(copy.from, from_bytes);
  if (!from.empty()) return {cudaErrorInvalidValue, "copy from: " + from};
  return {};
}

cudaError_t copy(Copy copy, cudaStream_t stream, bool wait) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  if (copy.kind < cudaMemcpyHostToHost || copy.kind > cudaMemcpyDefault)
    return error(cudaErrorInvalidMemcpyDirection);
  if (copy.width > copy.to_pitch || copy.width > copy.from_pitch)
    return error(cudaErrorInvalidValue, "copy of rows that are wider than their pitch");
  if (copy.kind == cudaMemcpyDefault)
    copy.kind = static_cast<cudaMemcpyKind>(2 * uses_device(copy.from) + uses_device(copy.to));
  if (const Problem problem = check(copy); problem.error != cudaSuccess)
    return error(problem.error, problem.text);
  ++mutable_counters().copies;
  const cudaStream_t found = find_stream(stream);
  const bool capturing = found && found->capture;
  if (wait || (!capturing && copy.kind == cudaMemcpyDeviceToHost && !is_pinned(copy.to))) {
    // The host waits: it asked to, or gave memory that is not pinned.
    if (const cudaError_t forbidden = forbid_in_capture(); forbidden != cudaSuccess) return forbidden;
    ++mutable_counters().synchronizations;
    if (submit(stream,
               [copy] {
                 execute(copy);
                 return Problem{};
               }) == cudaSuccess &&
        found)
      run_until(found->last);
    return device.sticky;
  }
  if (!capturing && copy.kind == cudaMemcpyHostToDevice && !is_pinned(copy.from)) {
    // Memory that is not pinned is read now.
    auto staged = std::make_shared<std::vector<std::byte>>(copy.width * copy.height);
    Copy stage{staged->data(), copy.from, copy.width, copy.from_pitch, copy.width, copy.height, copy.kind};
    execute(stage);
    copy.from = staged->data();
    copy.from_pitch = copy.width;
    return submit(stream, [copy, staged] {
      execute(copy);
      return Problem{};
    });
  }
  return submit(stream, [copy] {
    if (Problem problem = check(copy); problem.error != cudaSuccess) return problem;
    execute(copy);
    return Problem{};
  });
}

cudaError_t fill(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (bytes == 0) return cudaSuccess;
  if (const std::string problem = memory.why_not_device(to, bytes); !problem.empty())
    return error(cudaErrorInvalidValue, "cudaMemset: " + problem);
  return submit(stream, [=] {
    if (const std::string problem = memory.why_not_device(to, bytes); !problem.empty())
      return Problem{cudaErrorIllegalAddress, "cudaMemset: " + problem};
    std::memset(to, value, bytes);
    return Problem{};
  });
}

cudaError_t allocate(void** data, std::size_t bytes, bool pinned) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!data) return error(cudaErrorInvalidValue);
  if (const cudaError_t forbidden = forbid_in_capture(); forbidden != cudaSuccess) return forbidden;
  *data = nullptr;
  if (bytes == 0) return cudaSuccess;
  *data = pinned ? memory.allocate_pinned(bytes) : memory.allocate(bytes);
  if (!*data) return error(cudaErrorMemoryAllocation);
  ++mutable_counters().allocations;
  return cudaSuccess;
}

cudaError_t release(void* data, bool pinned) {
  const Lock lock(device.mutex);
  if (!data) return device.sticky;
  if (const cudaError_t forbidden = forbid_in_capture(); forbidden != cudaSuccess) return forbidden;
  ++mutable_counters().frees;
  ++mutable_counters().synchronizations;
  run_until(nullptr);
  const Allocation* found = memory.find(data);
  const std::string damage = found ? memory.check(*found) : "";
  if (!memory.release(data, pinned))
    return error(cudaErrorInvalidValue, fmt::format("{}: {} was not allocated by {}, or is free already",
                                                    pinned ? "cudaFreeHost" : "cudaFree", data,
                                                    pinned ? "cudaMallocHost" : "cudaMalloc"));
  if (!damage.empty()) fail_device({cudaErrorIllegalAddress, "cudaFree: somebody " + damage});
  return device.sticky;
}

}  // namespace

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  return allocate(data, bytes, false);
}
cudaError_t cudaMallocHost(void** data, std::size_t bytes, unsigned) {
  return allocate(data, bytes, true);
}
cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) {
  return allocate(data, bytes, true);
}
cudaError_t cudaFree(void* data) {
  return release(data, false);
}
cudaError_t cudaFreeHost(void* data) {
  return release(data, true);
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return copy({to, from, bytes, bytes, bytes, 1, kind}, nullptr, true);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy({to, from, bytes, bytes, bytes, 1, kind}, stream, false);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return copy({to, from, to_pitch, from_pitch, width, height, kind}, stream, false);
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return fill(to, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return fill(to, value, bytes, stream);
}
