#pragma once
// What the handles of cudnn.h hold, and the checks that its functions share.

#include <cudnn.h>

#include <string>

#include "tests/simt/library.hpp"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  bool set = false;
  simt::Strided layout;  // n, c, h, w
};
struct cudnnFilterStruct {
  bool set = false;
  simt::Strided layout;  // k, c, h, w
};
struct cudnnConvolutionStruct {
  bool set = false;
  int pad_h = 0, pad_w = 0, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};
struct cudnnActivationStruct {
  bool set = false;
  cudnnActivationMode_t mode = CUDNN_ACTIVATION_RELU;
};

namespace simt {

/// Thrown inside of a call, and returned by it.
struct CudnnError {
  cudnnStatus_t status;
  std::string text;
};

/// Runs a call: with the device's lock, errors as status and text.
cudnnStatus_t cudnn_call(const char* name, const std::function<void()>& call);

/// Sets the strides of a dense tensor.
void pack(Strided& tensor, cudnnTensorFormat_t format);
void need(bool holds, cudnnStatus_t status, const std::string& text);
/// Set, and of the memory order that operations take: N C H W or N H W C, dense.
const Strided& dense(cudnnTensorDescriptor_t descriptor, const char* name);
const Strided& dense(cudnnFilterDescriptor_t descriptor, const char* name);
[[nodiscard]] bool channels_last(const Strided& tensor);
/// The device may use all bytes of the tensor, and they begin at a multiple of `alignment`.
void need_memory(const void* data, const Strided& tensor, const char* name, std::size_t alignment);
void need_bytes(const void* data, std::size_t bytes, const char* name, std::size_t alignment);
/// 1 x c x 1 x 1 of a type.
void need_per_channel(cudnnTensorDescriptor_t descriptor, int c, Number type, const char* name);
/// Scaling factors are floats of the host for float and bf16 data.
[[nodiscard]] double scale_of(const void* factor, const char* name);
void submit_cudnn(cudnnHandle_t handle, const Workspace& workspace, std::function<void()> work);

}  // namespace simt
