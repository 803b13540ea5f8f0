// Handles, descriptors and the checks on them.

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>

#include "tests/simt/cudnn.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"

namespace simt {
namespace {

std::string last_text;

// Everything that was created and not destroyed.
std::set<const void*>& alive() {
  static auto& all = *new std::set<const void*>;
  return all;
}

template <typename T>
cudnnStatus_t create(T** handle) {
  const Lock lock(device.mutex);
  if (!handle) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  *handle = new T;
  alive().insert(*handle);
  return CUDNN_STATUS_SUCCESS;
}

template <typename T>
cudnnStatus_t destroy(T* handle) {
  const Lock lock(device.mutex);
  if (!handle) return CUDNN_STATUS_SUCCESS;
  if (alive().erase(handle) == 0) return CUDNN_STATUS_BAD_PARAM;
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

Number number(cudnnDataType_t type) {
  need(type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_BFLOAT16, CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE,
       "the emulator has float and bfloat16");
  return type == CUDNN_DATA_FLOAT ? Number::kFloat : Number::kBf16;
}

void need_descriptor(const void* descriptor, bool set, const char* name) {
  need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, fmt::format("the descriptor of {} is null", name));
  need(set, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, fmt::format("the descriptor of {} was not set", name));
}

void pack(Strided& t, cudnnTensorFormat_t format) {
  const std::ptrdiff_t c = t.dims[1], h = t.dims[2], w = t.dims[3];
  const bool last = format == CUDNN_TENSOR_NHWC;
  const std::ptrdiff_t strides[4] = {c * h * w, last ? 1 : h * w, last ? w * c : w, last ? c : 1};
  std::copy(strides, strides + 4, t.strides);
}

bool is_dense(const Strided& t, cudnnTensorFormat_t format) {
  Strided packed = t;
  pack(packed, format);
  for (int i = 0; i < 4; ++i)  // a dimension of 1 has no stride
    if (t.dims[i] > 1 && t.strides[i] != packed.strides[i]) return false;
  return true;
}

void set_dims(Strided& t, int a, int b, int c, int d) {
  need(a > 0 && b > 0 && c > 0 && d > 0, CUDNN_STATUS_BAD_PARAM,
       fmt::format("dimensions {} x {} x {} x {}", a, b, c, d));
  const int dims[4] = {a, b, c, d};
  std::copy(dims, dims + 4, t.dims);
}

}  // namespace

cudnnStatus_t cudnn_call(const char* name, const std::function<void()>& call) {
  const Lock lock(device.mutex);
  try {
    call();
    return CUDNN_STATUS_SUCCESS;
  } catch (const CudnnError& problem) {
    last_text = fmt::format("{}: {}", name, problem.text);
    device.report = last_text;
    std::fprintf(stderr, "simt: %s\n", last_text.c_str());
    return problem.status;
  }
}

void need(bool holds, cudnnStatus_t status, const std::string& text) {
  if (!holds) throw CudnnError{status, text};
}

bool channels_last(const Strided& tensor) {
  return is_dense(tensor, CUDNN_TENSOR_NHWC);
}

static const Strided& dense(const Strided& layout, const char* name) {
  need(is_dense(layout, CUDNN_TENSOR_NHWC) || is_dense(layout, CUDNN_TENSOR_NCHW),
       CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, fmt::format("{} is neither dense NCHW nor dense NHWC", name));
  return layout;
}

const Strided& dense(cudnnTensorDescriptor_t descriptor, const char* name) {
  need_descriptor(descriptor, descriptor && descriptor->set, name);
  return dense(descriptor->layout, name);
}

const Strided& dense(cudnnFilterDescriptor_t descriptor, const char* name) {
  need_descriptor(descriptor, descriptor && descriptor->set, name);
  return dense(descriptor->layout, name);
}

void need_bytes(const void* data, std::size_t bytes, const char* name, std::size_t alignment) {
  need(data, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, fmt::format("{} is null", name));
  const std::string problem = memory.why_not_device(data, bytes);
  need(problem.empty(), CUDNN_STATUS_BAD_PARAM, fmt::format("{}: {}", name, problem));
  need(reinterpret_cast<std::uintptr_t>(data) % alignment == 0, CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
       fmt::format("{} is not aligned to {} bytes", name, alignment));
}

void need_memory(const void* data, const Strided& tensor, const char* name, std::size_t alignment) {
  need_bytes(data, tensor.extent_bytes(), name, alignment);
}

void need_per_channel(cudnnTensorDescriptor_t descriptor, int c, Number type, const char* name) {
  const Strided& layout = dense(descriptor, name);
  need(layout.dims[0] == 1 && layout.dims[1] == c && layout.dims[2] == 1 && layout.dims[3] == 1,
       CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, fmt::format("{} is not 1 x {} x 1 x 1", name, c));
  need(layout.type == type, CUDNN_STATUS_BAD_PARAM,
       fmt::format("{} has another type than it must have", name));
}

double scale_of(const void* factor, const char* name) {
  need(factor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, fmt::format("{} is null", name));
  need(memory.why_not_host(factor, 4).empty(), CUDNN_STATUS_BAD_PARAM,
       fmt::format("{} must lie in memory of the host", name));
  float value = 0;
  std::memcpy(&value, factor, sizeof value);
  return value;
}

void submit_cudnn(cudnnHandle_t handle, const Workspace& workspace, std::function<void()> work) {
  need(submit_call(handle->stream, workspace, std::move(work)), CUDNN_STATUS_EXECUTION_FAILED,
       fmt::format("the stream answers: {}", cudaGetErrorString(take_last_error(false))));
}

}  // namespace simt

using namespace simt;

std::size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}
std::size_t cudnnGetCudartVersion() {
  return CUDART_VERSION;
}

const char* cudnnGetErrorString(cudnnStatus_t status) {
#define SIMT_STATUS(name) \
  case name:              \
    return #name
  switch (status) {
    SIMT_STATUS(CUDNN_STATUS_SUCCESS);
    SIMT_STATUS(CUDNN_STATUS_NOT_INITIALIZED);
    SIMT_STATUS(CUDNN_STATUS_BAD_PARAM);
    SIMT_STATUS(CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    SIMT_STATUS(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
    SIMT_STATUS(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
    SIMT_STATUS(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT);
    SIMT_STATUS(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
    SIMT_STATUS(CUDNN_STATUS_NOT_SUPPORTED);
    SIMT_STATUS(CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
    SIMT_STATUS(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
    SIMT_STATUS(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
    SIMT_STATUS(CUDNN_STATUS_INTERNAL_ERROR);
    SIMT_STATUS(CUDNN_STATUS_EXECUTION_FAILED);
  }
#undef SIMT_STATUS
  return "CUDNN_UNKNOWN_STATUS";
}

void cudnnGetLastErrorString(char* message, std::size_t size) {
  const Lock lock(device.mutex);
  if (size > 0) message[last_text.copy(message, size - 1)] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return cudnn_call("cudnnCreate", [&] {
    if (const cudaError_t forbidden = forbid_in_capture(); forbidden != cudaSuccess)
      throw CudnnError{CUDNN_STATUS_NOT_INITIALIZED, "a handle cannot be made while a stream captures"};
    need(create(handle) == CUDNN_STATUS_SUCCESS, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
  });
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  return destroy(handle);
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* descriptor) {
  return create(descriptor);
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t descriptor) {
  return destroy(descriptor);
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* descriptor) {
  return create(descriptor);
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t descriptor) {
  return destroy(descriptor);
}
cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t* descriptor) {
  return create(descriptor);
}
cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t descriptor) {
  return destroy(descriptor);
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* descriptor) {
  return create(descriptor);
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t descriptor) {
  return destroy(descriptor);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return cudnn_call("cudnnSetStream", [&] {
    need(handle && find_stream(stream), CUDNN_STATUS_BAD_PARAM, "no such handle or stream");
    handle->stream = stream;
  });
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t* stream) {
  return cudnn_call("cudnnGetStream", [&] {
    need(handle && stream, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
    *stream = handle->stream;
  });
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t descriptor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w) {
  return cudnn_call("cudnnSetTensor4dDescriptor", [&] {
    need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
    descriptor->layout.type = number(type);
    set_dims(descriptor->layout, n, c, h, w);
    pack(descriptor->layout, format);
    descriptor->set = true;
  });
}

cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t descriptor, cudnnDataType_t type, int n,
                                           int c, int h, int w, int n_stride, int c_stride, int h_stride,
                                           int w_stride) {
  return cudnn_call("cudnnSetTensor4dDescriptorEx", [&] {
    need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
    need(n_stride > 0 && c_stride > 0 && h_stride > 0 && w_stride > 0, CUDNN_STATUS_BAD_PARAM,
         "a stride below 1");
    descriptor->layout.type = number(type);
    set_dims(descriptor->layout, n, c, h, w);
    const int strides[4] = {n_stride, c_stride, h_stride, w_stride};
    std::copy(strides, strides + 4, descriptor->layout.strides);
    descriptor->set = true;
  });
}

cudnnStatus_t cudnnGetTensorSizeInBytes(cudnnTensorDescriptor_t descriptor, std::size_t* bytes) {
  return cudnn_call("cudnnGetTensorSizeInBytes", [&] {
    need(descriptor && descriptor->set && bytes, CUDNN_STATUS_BAD_PARAM, "null, or not set");
    *bytes = descriptor->layout.extent_bytes();
  });
}

cudnnStatus_t cudnnDeriveBNTensorDescriptor(cudnnTensorDescriptor_t derived, cudnnTensorDescriptor_t x,
                                            cudnnBatchNormMode_t mode) {
  return cudnn_call("cudnnDeriveBNTensorDescriptor", [&] {
    need(derived && x && x->set, CUDNN_STATUS_BAD_PARAM, "null, or not set");
    need(mode != CUDNN_BATCHNORM_PER_ACTIVATION, CUDNN_STATUS_NOT_SUPPORTED,
         "the emulator has the spatial modes");
    derived->layout.type = Number::kFloat;
    set_dims(derived->layout, 1, x->layout.dims[1], 1, 1);
    pack(derived->layout, CUDNN_TENSOR_NCHW);
    derived->set = true;
  });
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t descriptor, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
  return cudnn_call("cudnnSetFilter4dDescriptor", [&] {
    need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
    descriptor->layout.type = number(type);
    set_dims(descriptor->layout, k, c, h, w);
    pack(descriptor->layout, format);
    descriptor->set = true;
  });
}

cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t descriptor, cudnnActivationMode_t mode,
                                           cudnnNanPropagation_t, double) {
  return cudnn_call("cudnnSetActivationDescriptor", [&] {
    need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
    *descriptor = {true, mode};
  });
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t descriptor, int pad_h, int pad_w,
                                              int stride_h, int stride_w, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t compute) {
  return cudnn_call("cudnnSetConvolution2dDescriptor", [&] {
    need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
    need(pad_h >= 0 && pad_w >= 0 && stride_h > 0 && stride_w > 0 && dilation_h > 0 && dilation_w > 0,
         CUDNN_STATUS_BAD_PARAM, "a negative padding, or a stride or dilation below 1");
    need(mode == CUDNN_CROSS_CORRELATION, CUDNN_STATUS_NOT_SUPPORTED, "the emulator has no flipped filters");
    need(compute == CUDNN_DATA_FLOAT, CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "sums are of type float");
    *descriptor = {true, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, descriptor->math};
  });
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t descriptor, cudnnMathType_t math) {
  return cudnn_call("cudnnSetConvolutionMathType", [&] {
    need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null");
    descriptor->math = math;
  });
}
