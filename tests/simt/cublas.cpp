// Matrix products in double, with cuBLAS's checks.

#include <cublas_v2.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tests/simt/library.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"

struct cublasContext {
  cudaStream_t stream = nullptr;
  simt::Workspace workspace;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
};

namespace simt {
namespace {

struct Matrix {
  const void* data;
  cudaDataType type;
  int rows, columns, leading;  // as stored
  const char* name;
};

cublasStatus_t refuse(cublasStatus_t status, const std::string& text) {
  device.report = "cuBLAS: " + text;
  std::fprintf(stderr, "simt: %s\n", device.report.c_str());
  return status;
}

Number number(cudaDataType type) {
  return type == CUDA_R_32F ? Number::kFloat : Number::kBf16;
}

// Rows and columns, in memory one column after the other; `turned`: of the transposed matrix.
Strided layout_of(const Matrix& m, bool turned) {
  if (turned) return {number(m.type), {1, 1, m.columns, m.rows}, {0, 0, m.leading, 1}};
  return {number(m.type), {1, 1, m.rows, m.columns}, {0, 0, 1, m.leading}};
}

std::string problem_of(const Matrix& m) {
  if (m.leading < std::max(1, m.rows))
    return fmt::format("{} has {} rows, but {} from column to column", m.name, m.rows, m.leading);
  const Strided layout = layout_of(m, false);
  if (std::string problem = memory.why_not_device(m.data, layout.extent_bytes()); !problem.empty())
    return fmt::format("{}: {}", m.name, problem);
  if (reinterpret_cast<std::uintptr_t>(m.data) % bytes_of(layout.type) != 0)
    return fmt::format("{} is not aligned to its elements", m.name);
  return "";
}

}  // namespace
}  // namespace simt

using namespace simt;

const char* cublasGetStatusName(cublasStatus_t status) {
#define SIMT_STATUS(name) \
  case name:              \
    return #name
  switch (status) {
    SIMT_STATUS(CUBLAS_STATUS_SUCCESS);
    SIMT_STATUS(CUBLAS_STATUS_NOT_INITIALIZED);
    SIMT_STATUS(CUBLAS_STATUS_ALLOC_FAILED);
    SIMT_STATUS(CUBLAS_STATUS_INVALID_VALUE);
    SIMT_STATUS(CUBLAS_STATUS_ARCH_MISMATCH);
    SIMT_STATUS(CUBLAS_STATUS_MAPPING_ERROR);
    SIMT_STATUS(CUBLAS_STATUS_EXECUTION_FAILED);
    SIMT_STATUS(CUBLAS_STATUS_INTERNAL_ERROR);
    SIMT_STATUS(CUBLAS_STATUS_NOT_SUPPORTED);
  }
#undef SIMT_STATUS
  return "CUBLAS_UNKNOWN_STATUS";
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the GPU program failed to execute";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
    default:
      return cublasGetStatusName(status);
  }
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  const Lock lock(device.mutex);
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  if (forbid_in_capture() != cudaSuccess) return CUBLAS_STATUS_ALLOC_FAILED;
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  const Lock lock(device.mutex);
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int* version) {
  return *version = 130000, CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  const Lock lock(device.mutex);
  if (!handle || !find_stream(stream)) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  handle->workspace = {};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  const Lock lock(device.mutex);
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (std::string problem = memory.why_not_device(workspace, bytes); !problem.empty())
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "workspace: " + problem);
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "the workspace is not aligned to 256 bytes");
  handle->workspace = {workspace, std::min(bytes, std::size_t{64} << 10)};  // what a product is taken to use
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  *mode = handle->math;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode) {
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->pointers = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                            int n, int k, const void* alpha, const void* a, cudaDataType type_a, int lda,
                            const void* b, cudaDataType type_b, int ldb, const void* beta, void* c,
                            cudaDataType type_c, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t) {
  const Lock lock(device.mutex);
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || k < 0) return refuse(CUBLAS_STATUS_INVALID_VALUE, "a negative dimension");
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  if (k == 0) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "the emulator wants k > 0");
  const bool floats = type_a == CUDA_R_32F && type_c == CUDA_R_32F;
  const bool bf16 = type_a == CUDA_R_16BF && (type_c == CUDA_R_16BF || type_c == CUDA_R_32F);
  if (type_a != type_b || !(floats || bf16) || (compute == CUBLAS_COMPUTE_32F_FAST_TF32 && !floats))
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "these types of A, B, C and sums do not go together");
  if (handle->pointers != CUBLAS_POINTER_MODE_HOST)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "the emulator takes alpha and beta from the host");
  float by_alpha = 0, by_beta = 0;
  for (const auto& [from, to] : {std::pair{alpha, &by_alpha}, std::pair{beta, &by_beta}}) {
    if (std::string problem = memory.why_not_host(from, 4); !problem.empty())
      return refuse(CUBLAS_STATUS_INVALID_VALUE, "alpha or beta: " + problem);
    std::memcpy(to, from, sizeof(float));
  }
  const bool turn_a = op_a == CUBLAS_OP_T, turn_b = op_b == CUBLAS_OP_T;
  const Matrix stored_a{a, type_a, turn_a ? k : m, turn_a ? m : k, lda, "A"};
  const Matrix stored_b{b, type_b, turn_b ? n : k, turn_b ? k : n, ldb, "B"};
  const Matrix stored_c{c, type_c, m, n, ldc, "C"};
  for (const Matrix& matrix : {stored_a, stored_b, stored_c})
    if (std::string problem = problem_of(matrix); !problem.empty())
      return refuse(CUBLAS_STATUS_INVALID_VALUE, problem);
  const bool tf32 = floats && (compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
                               (compute == CUBLAS_COMPUTE_32F && handle->math == CUBLAS_TF32_TENSOR_OP_MATH));
  const bool done = submit_call(handle->stream, handle->workspace, [=] {
    const std::vector<double> left = gather(a, layout_of(stored_a, turn_a), tf32);   // m x k
    const std::vector<double> right = gather(b, layout_of(stored_b, turn_b), tf32);  // k x n
    std::vector<double> sums(static_cast<std::size_t>(m) * static_cast<std::size_t>(n));
    const auto columns = static_cast<std::size_t>(n), depth = static_cast<std::size_t>(k);
    for (std::size_t i = 0; i < static_cast<std::size_t>(m); ++i)
      for (std::size_t l = 0; l < depth; ++l)
        for (std::size_t j = 0; j < columns; ++j)
          sums[i * columns + j] += left[i * depth + l] * right[l * columns + j];
    scatter(sums, by_alpha, by_beta, layout_of(stored_c, false), c);
  });
  return done ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                           int n, int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                           const float* beta, float* c, int ldc) {
  return cublasGemmEx(handle, op_a, op_b, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c,
                      CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
