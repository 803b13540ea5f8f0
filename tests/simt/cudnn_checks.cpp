// What every function of cudnn.h checks, and how it fails.

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "tests/simt/cudnn.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"

namespace simt {
namespace {

std::string last_text;

void need_descriptor(const void* descriptor, bool set, const char* name) {
  need(descriptor, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, fmt::format("the descriptor of {} is null", name));
  need(set, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, fmt::format("the descriptor of {} was not set", name));
}

bool is_dense(const Strided& t, cudnnTensorFormat_t format) {
  Strided packed = t;
  pack(packed, format);
  for (int i = 0; i < 4; ++i)  // a dimension of 1 has no stride
    if (t.dims[i] > 1 && t.strides[i] != packed.strides[i]) return false;
  return true;
}

}  // namespace

void pack(Strided& t, cudnnTensorFormat_t format) {
  const std::ptrdiff_t c = t.dims[1], h = t.dims[2], w = t.dims[3];
  const bool last = format == CUDNN_TENSOR_NHWC;
  const std::ptrdiff_t strides[4] = {c * h * w, last ? 1 : h * w, last ? w * c : w, last ? c : 1};
  std::copy(strides, strides + 4, t.strides);
}

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
