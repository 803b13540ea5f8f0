// The device, errors, and what tests may ask.

#include <cuda_profiler_api.h>

#include <cstring>

#include "simt/runtime.hpp"
#include "tests/simt/machine.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"
#include "tests/simt/scheduler.hpp"
#include "tests/simt/simt.hpp"

using namespace simt;

namespace {

struct ErrorText {
  cudaError_t code;
  const char *name, *text;
};

#define SIMT_ERROR(name, text) \
  { name, #name, text }
constexpr ErrorText kErrors[] = {
    SIMT_ERROR(cudaSuccess, "no error"),
    SIMT_ERROR(cudaErrorInvalidValue, "invalid argument"),
    SIMT_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    SIMT_ERROR(cudaErrorInitializationError, "initialization error"),
    SIMT_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    SIMT_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    SIMT_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    SIMT_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    SIMT_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    SIMT_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    SIMT_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    SIMT_ERROR(cudaErrorNotReady, "device not ready"),
    SIMT_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    SIMT_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    SIMT_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    SIMT_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    SIMT_ERROR(cudaErrorNotSupported, "operation not supported"),
    SIMT_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    SIMT_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    SIMT_ERROR(cudaErrorStreamCaptureMerge,
               "operation would result in a merge of separate capture sequences"),
    SIMT_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    SIMT_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    SIMT_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    SIMT_ERROR(cudaErrorStreamCaptureImplicit,
               "operation would make the legacy stream depend on a capturing blocking stream"),
    SIMT_ERROR(cudaErrorCapturedEvent,
               "operation not permitted on an event last recorded in a capturing stream"),
    SIMT_ERROR(cudaErrorStreamCaptureWrongThread,
               "attempt to terminate a thread-local capture sequence from another thread"),
    SIMT_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef SIMT_ERROR

int profilers = 0;

}  // namespace

const char* cudaGetErrorName(cudaError_t code) {
  for (const ErrorText& each : kErrors)
    if (each.code == code) return each.name;
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t code) {
  for (const ErrorText& each : kErrors)
    if (each.code == code) return each.text;
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() {
  const Lock lock(device.mutex);
  return take_last_error(true);
}

cudaError_t cudaPeekAtLastError() {
  const Lock lock(device.mutex);
  return take_last_error(false);
}

cudaError_t cudaDriverGetVersion(int* version) {
  return *version = CUDART_VERSION, cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return *version = CUDART_VERSION, cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  return *count = 1, cudaSuccess;
}
cudaError_t cudaGetDevice(int* number) {
  return *number = 0, cudaSuccess;
}
cudaError_t cudaSetDevice(int number) {
  const Lock lock(device.mutex);
  return number == 0 ? device.sticky : error(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int number) {
  const Lock lock(device.mutex);
  if (number != 0 || !properties) return error(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "emulated CUDA device");
  properties->totalGlobalMem = Memory::kDeviceBytes;
  properties->sharedMemPerBlock = shared::kDefaultLimit;
  properties->sharedMemPerBlockOptin = shared::kOptInLimit;
  properties->sharedMemPerMultiprocessor = 228 << 10;
  properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
  properties->warpSize = warpSize;
  properties->maxThreadsPerBlock = kThreads;
  properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = 0x7FFFFFFF;
  properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
  properties->totalConstMem = 64 << 10;
  properties->major = 9;
  properties->multiProcessorCount = 4;  // small: a grid of a few blocks for each is cheap
  properties->memoryBusWidth = 5120;
  properties->l2CacheSize = 1 << 20;
  properties->maxThreadsPerMultiProcessor = 2048;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) {
  cudaDeviceProp properties;
  if (const cudaError_t result = cudaGetDeviceProperties(&properties, number); result != cudaSuccess)
    return result;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      break;
    case cudaDevAttrClockRate:
      *value = 1'000'000;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 1'000'000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = properties.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      *value = properties.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = properties.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(properties.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int number) {
  const Lock lock(device.mutex);
  if (!text || length < 13 || number != 0) return error(cudaErrorInvalidValue);
  std::strcpy(text, "0000:00:00.0");
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Lock lock(device.mutex);
  *total = Memory::kDeviceBytes;
  *free = Memory::kDeviceBytes - memory.used();
  return device.sticky;
}

cudaError_t cudaDeviceReset() {
  reset();
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() {
  const Lock lock(device.mutex);
  ++profilers;
  return device.sticky;
}

cudaError_t cudaProfilerStop() {
  const Lock lock(device.mutex);
  --profilers;
  return device.sticky;
}

namespace simt {

int profiling() {
  return profilers;
}

Counters counters() {
  const Lock lock(device.mutex);
  return mutable_counters();
}

std::string report() {
  const Lock lock(device.mutex);
  return device.report;
}

void reset() {
  const Lock lock(device.mutex);
  run_until(nullptr);
  for (const auto& capture : device.captures) {
    for (cudaStream_t stream : capture->streams) {
      if (!find_stream(stream)) continue;
      stream->capture = nullptr;
      stream->heads.clear();
    }
  }
  device.captures.clear();
  device.sticky = cudaSuccess;
  device.report.clear();
  (void)take_last_error(true);
}

void set_streams(Streams streams) {
  device.eager = streams == Streams::kEager;
}

std::size_t live_allocations() {
  const Lock lock(device.mutex);
  return memory.live();
}

std::size_t live_bytes() {
  const Lock lock(device.mutex);
  return memory.used();
}

std::string check_memory() {
  const Lock lock(device.mutex);
  return memory.check_all();
}

DeviceAccess::DeviceAccess() {
  memory.open();
}
DeviceAccess::~DeviceAccess() {
  memory.close();
}

}  // namespace simt
