// Handles and descriptors.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tests/simt/cudnn.hpp"
#include "tests/simt/queue.hpp"

namespace simt {
namespace {

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

void set_dims(Strided& t, int a, int b, int c, int d) {
  need(a > 0 && b > 0 && c > 0 && d > 0, CUDNN_STATUS_BAD_PARAM,
       fmt::format("dimensions {} x {} x {} x {}", a, b, c, d));
  const int dims[4] = {a, b, c, d};
  std::copy(dims, dims + 4, t.dims);
}

}  // namespace

}  // namespace simt

using namespace simt;

std::size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}
std::size_t cudnnGetCudartVersion() {
  return CUDART_VERSION;
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
