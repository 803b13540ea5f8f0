#include "cuda/check.hpp"

#include <cstdio>
#include <cstring>

#include "layers/error.hpp"

namespace normlab::NORMLAB_PLATFORM {

namespace {

const char* words(cudaError_t status) {
  return cudaGetErrorString(status);
}
const char* words(cudnnStatus_t status) {
  return cudnnGetErrorString(status);
}
const char* words(cublasStatus_t status) {
  return cublasGetStatusString(status);
}

/// "conv2d.cu:12", without the folders of the machine it was built on.
const char* base_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

template <typename Status>
void fail(const char* library, Status status, const char* call, const char* file, int line) {
  throw Error("{}: {} at {}:{} ({})", library, words(status), base_name(file), line, call);
}

template <typename Status>
void print(const char* library, Status status, const char* call) noexcept {
  std::fprintf(stderr, "%s: %s while cleaning up (%s)\n", library, words(status), call);
}

}  // namespace

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status != cudaSuccess) fail("CUDA", status, call, file, line);
}
void check(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status != CUDNN_STATUS_SUCCESS) fail("cuDNN", status, call, file, line);
}
void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuBLAS", status, call, file, line);
}

void report(cudaError_t status, const char* call) noexcept {
  if (status != cudaSuccess) print("CUDA", status, call);
}
void report(cudnnStatus_t status, const char* call) noexcept {
  if (status != CUDNN_STATUS_SUCCESS) print("cuDNN", status, call);
}
void report(cublasStatus_t status, const char* call) noexcept {
  if (status != CUBLAS_STATUS_SUCCESS) print("cuBLAS", status, call);
}

}  // namespace normlab::NORMLAB_PLATFORM
