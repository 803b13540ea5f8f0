#pragma once
// Everything that the libraries create and somebody must destroy, as move-only values.

#include <cstddef>
#include <functional>
#include <utility>

#include "cuda/check.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Owns a handle; `Kind` says how it is made and destroyed.
template <typename Kind>
class Owned {
 public:
  using Handle = typename Kind::Handle;

  /// Owns nothing.
  Owned() = default;
  template <typename... Arguments>
  [[nodiscard]] static Owned make(Arguments... arguments) {
    Owned owned;
    Kind::create(&owned.handle_, arguments...);
    return owned;
  }
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, Handle{})) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_ != Handle{}) Kind::destroy(handle_);
  }

  [[nodiscard]] Handle get() const { return handle_; }
  [[nodiscard]] bool empty() const { return handle_ == Handle{}; }

 private:
  Handle handle_{};
};

struct DeviceMemory {
  using Handle = void*;
  static void create(Handle* handle, std::size_t bytes) { NORMLAB_CHECK(cudaMalloc(handle, bytes)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudaFree(handle)); }
};

/// Host memory that the device can copy from and to behind the host's back.
struct PinnedMemory {
  using Handle = void*;
  static void create(Handle* handle, std::size_t bytes) {
    NORMLAB_CHECK(cudaHostAlloc(handle, bytes, cudaHostAllocDefault));
  }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudaFreeHost(handle)); }
};

/// A stream that does not wait for the default stream.
struct StreamKind {
  using Handle = cudaStream_t;
  static void create(Handle* handle) {
    NORMLAB_CHECK(cudaStreamCreateWithFlags(handle, cudaStreamNonBlocking));
  }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudaStreamDestroy(handle)); }
};

/// An event that knows when it passed.
struct TimingEventKind {
  using Handle = cudaEvent_t;
  static void create(Handle* handle) { NORMLAB_CHECK(cudaEventCreate(handle)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudaEventDestroy(handle)); }
};

/// What `work` would enqueue.
struct GraphKind {
  using Handle = cudaGraph_t;
  static void create(Handle* handle, cudaStream_t stream, const std::function<void()>* work) {
    // Of this thread alone: runs beside this one may allocate meanwhile.
    NORMLAB_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    try {
      (*work)();
    } catch (...) {
      cudaStreamEndCapture(stream, handle);  // what came before says more
      throw;
    }
    NORMLAB_CHECK(cudaStreamEndCapture(stream, handle));
  }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudaGraphDestroy(handle)); }
};

struct ExecutableGraphKind {
  using Handle = cudaGraphExec_t;
  static void create(Handle* handle, cudaGraph_t graph) {
    NORMLAB_CHECK(cudaGraphInstantiate(handle, graph, 0));
  }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudaGraphExecDestroy(handle)); }
};

struct CudnnKind {
  using Handle = cudnnHandle_t;
  static void create(Handle* handle) { NORMLAB_CHECK(cudnnCreate(handle)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudnnDestroy(handle)); }
};

struct CublasKind {
  using Handle = cublasHandle_t;
  static void create(Handle* handle) { NORMLAB_CHECK(cublasCreate(handle)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cublasDestroy(handle)); }
};

struct TensorDescriptorKind {
  using Handle = cudnnTensorDescriptor_t;
  static void create(Handle* handle) { NORMLAB_CHECK(cudnnCreateTensorDescriptor(handle)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudnnDestroyTensorDescriptor(handle)); }
};

struct FilterDescriptorKind {
  using Handle = cudnnFilterDescriptor_t;
  static void create(Handle* handle) { NORMLAB_CHECK(cudnnCreateFilterDescriptor(handle)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudnnDestroyFilterDescriptor(handle)); }
};

struct ConvolutionDescriptorKind {
  using Handle = cudnnConvolutionDescriptor_t;
  static void create(Handle* handle) { NORMLAB_CHECK(cudnnCreateConvolutionDescriptor(handle)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudnnDestroyConvolutionDescriptor(handle)); }
};

struct ActivationDescriptorKind {
  using Handle = cudnnActivationDescriptor_t;
  static void create(Handle* handle) { NORMLAB_CHECK(cudnnCreateActivationDescriptor(handle)); }
  static void destroy(Handle handle) noexcept { NORMLAB_REPORT(cudnnDestroyActivationDescriptor(handle)); }
};

using DeviceBytes = Owned<DeviceMemory>;
using PinnedBytes = Owned<PinnedMemory>;
using Stream = Owned<StreamKind>;
using TimingEvent = Owned<TimingEventKind>;
using CapturedGraph = Owned<GraphKind>;
using ExecutableGraph = Owned<ExecutableGraphKind>;
using Cudnn = Owned<CudnnKind>;
using Cublas = Owned<CublasKind>;
using TensorDescriptor = Owned<TensorDescriptorKind>;
using FilterDescriptor = Owned<FilterDescriptorKind>;
using ConvolutionDescriptor = Owned<ConvolutionDescriptorKind>;
using ActivationDescriptor = Owned<ActivationDescriptorKind>;

}  // namespace normlab::NORMLAB_PLATFORM
