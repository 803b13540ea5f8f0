#include "tests/simt/cudnn_algorithms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"

namespace simt {
namespace {

// Bytes of x with each pixel's taps side by side, as an explicit product of matrices wants it.
std::size_t unrolled(const Problem2d& p) {
  const Convolution& s = p.shape;
  return p.y.values() / static_cast<std::size_t>(s.k) *
         static_cast<std::size_t>(s.c * s.kernel_h * s.kernel_w) * 4;
}

std::size_t rounded(std::size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

int count_of(Direction direction) {
  switch (direction) {
    case Direction::kForward:
      return CUDNN_CONVOLUTION_FWD_ALGO_COUNT;
    case Direction::kBackwardData:
      return CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT;
    case Direction::kBackwardFilter:
      return CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT;
  }
  return 0;
}

// What looks fastest comes first: here, as often there, one that adds in any order.
template <typename Performance>
void list(Direction direction, const Problem2d& problem, int asked, int* returned, Performance* results) {
  need(asked > 0 && returned && results, CUDNN_STATUS_BAD_PARAM, "no room for results");
  using Algorithm = decltype(Performance::algo);
  std::vector<Performance> all;
  for (int algorithm = 0; algorithm < count_of(direction); ++algorithm) {
    const AlgorithmInfo info = algorithm_info(direction, algorithm, problem);
    all.push_back({static_cast<Algorithm>(algorithm),
                   info.supported ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED,
                   info.supported ? 0.1F * static_cast<float>(algorithm + 1) : -1.0F,
                   info.workspace,
                   info.deterministic ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC,
                   problem.math,
                   {}});
  }
  std::stable_sort(all.begin(), all.end(), [](const Performance& a, const Performance& b) {
    return a.status == CUDNN_STATUS_SUCCESS && b.status != CUDNN_STATUS_SUCCESS;
  });
  *returned = std::min(asked, static_cast<int>(all.size()));
  std::copy_n(all.begin(), *returned, results);
}

// Find runs every algorithm: it overwrites the output and the workspace, and waits.
void try_all(void* output, const Strided& layout, const Workspace& workspace) {
  need(forbid_in_capture() == cudaSuccess, CUDNN_STATUS_NOT_SUPPORTED, "a search while a stream captures");
  need_memory(output, layout, "the output", 16);
  if (workspace.bytes > 0) need_bytes(workspace.data, workspace.bytes, "workspace", 16);
  run_until(nullptr);
  const Open open;
  scatter(std::vector<double>(layout.values(), 0.0 / 0.0), 1, 0, layout, output);
}

}  // namespace

AlgorithmInfo algorithm_info(Direction direction, int algorithm, const Problem2d& p) {
  const Convolution& s = p.shape;
  const bool winograd = s.kernel_h == 3 && s.kernel_w == 3 && s.stride_h == 1 && s.stride_w == 1 &&
                        s.dilation_h == 1 && s.dilation_w == 1 && !p.channels_last;
  const std::size_t tables =
      rounded(static_cast<std::size_t>(s.out_h * s.out_w * s.kernel_h * s.kernel_w) * 4);
  const std::size_t partial = rounded(4 * p.w.values() * 4);
  switch (direction) {
    case Direction::kForward:
      switch (algorithm) {
        case CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM:
          return {true, true, 0};
        case CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM:
          return {true, true, tables};
        case CUDNN_CONVOLUTION_FWD_ALGO_GEMM:
          return {!p.channels_last, true, rounded(unrolled(p))};
        case CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD:
          return {winograd, true, partial};
        default:
          return {false, true, 0};
      }
    case Direction::kBackwardData:
      switch (algorithm) {
        case CUDNN_CONVOLUTION_BWD_DATA_ALGO_0:
          return {true, false, 0};
        case CUDNN_CONVOLUTION_BWD_DATA_ALGO_1:
          return {true, true, tables};
        case CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD:
          return {winograd, true, partial};
        default:
          return {false, true, 0};
      }
    case Direction::kBackwardFilter:
      switch (algorithm) {
        case CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0:
          return {true, false, 0};
        case CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1:
          return {true, true, partial};
        case CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3:
          return {!p.channels_last, false, partial};
        default:
          return {false, true, 0};
      }
  }
  return {false, true, 0};
}

AlgorithmInfo find_algorithm(Direction direction, int algorithm, const Problem2d& problem) {
  need(algorithm >= 0 && algorithm < count_of(direction), CUDNN_STATUS_BAD_PARAM, "no such algorithm");
  const AlgorithmInfo info = algorithm_info(direction, algorithm, problem);
  need(info.supported, CUDNN_STATUS_NOT_SUPPORTED,
       fmt::format("algorithm {} cannot do this convolution{}", algorithm,
                   problem.channels_last ? " (NHWC)" : ""));
  return info;
}

}  // namespace simt

using namespace simt;

cudnnStatus_t cudnnGetConvolutionForwardAlgorithmMaxCount(cudnnHandle_t, int* count) {
  return *count = CUDNN_CONVOLUTION_FWD_ALGO_COUNT, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithmMaxCount(cudnnHandle_t, int* count) {
  return *count = CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(cudnnHandle_t, int* count) {
  return *count = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT, CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                     cudnnFilterDescriptor_t w,
                                                     cudnnConvolutionDescriptor_t convolution,
                                                     cudnnTensorDescriptor_t y, int asked, int* returned,
                                                     cudnnConvolutionFwdAlgoPerf_t* results) {
  return cudnn_call("cudnnGetConvolutionForwardAlgorithm_v7", [&] {
    list(Direction::kForward, check_convolution(x, w, convolution, y), asked, returned, results);
  });
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                          cudnnTensorDescriptor_t dy,
                                                          cudnnConvolutionDescriptor_t convolution,
                                                          cudnnTensorDescriptor_t dx, int asked,
                                                          int* returned,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* results) {
  return cudnn_call("cudnnGetConvolutionBackwardDataAlgorithm_v7", [&] {
    list(Direction::kBackwardData, check_convolution(dx, w, convolution, dy), asked, returned, results);
  });
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                            cudnnTensorDescriptor_t dy,
                                                            cudnnConvolutionDescriptor_t convolution,
                                                            cudnnFilterDescriptor_t dw, int asked,
                                                            int* returned,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* results) {
  return cudnn_call("cudnnGetConvolutionBackwardFilterAlgorithm_v7", [&] {
    list(Direction::kBackwardFilter, check_convolution(x, dw, convolution, dy), asked, returned, results);
  });
}

cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(cudnnHandle_t, cudnnTensorDescriptor_t x_descriptor,
                                                     const void* x, cudnnFilterDescriptor_t w_descriptor,
                                                     const void* w, cudnnConvolutionDescriptor_t convolution,
                                                     cudnnTensorDescriptor_t y_descriptor, void* y, int asked,
                                                     int* returned, cudnnConvolutionFwdAlgoPerf_t* results,
                                                     void* workspace, std::size_t workspace_bytes) {
  return cudnn_call("cudnnFindConvolutionForwardAlgorithmEx", [&] {
    const Problem2d problem = check_convolution(x_descriptor, w_descriptor, convolution, y_descriptor);
    need_memory(x, problem.x, "x", 16);
    need_memory(w, problem.w, "w", 16);
    try_all(y, problem.y, {workspace, workspace_bytes});
    list(Direction::kForward, problem, asked, returned, results);
  });
}

cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(
    cudnnHandle_t, cudnnFilterDescriptor_t w_descriptor, const void* w, cudnnTensorDescriptor_t dy_descriptor,
    const void* dy, cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t dx_descriptor, void* dx,
    int asked, int* returned, cudnnConvolutionBwdDataAlgoPerf_t* results, void* workspace,
    std::size_t workspace_bytes) {
  return cudnn_call("cudnnFindConvolutionBackwardDataAlgorithmEx", [&] {
    const Problem2d problem = check_convolution(dx_descriptor, w_descriptor, convolution, dy_descriptor);
    need_memory(w, problem.w, "w", 16);
    need_memory(dy, problem.y, "dy", 16);
    try_all(dx, problem.x, {workspace, workspace_bytes});
    list(Direction::kBackwardData, problem, asked, returned, results);
  });
}

cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(
    cudnnHandle_t, cudnnTensorDescriptor_t x_descriptor, const void* x, cudnnTensorDescriptor_t dy_descriptor,
    const void* dy, cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t dw_descriptor, void* dw,
    int asked, int* returned, cudnnConvolutionBwdFilterAlgoPerf_t* results, void* workspace,
    std::size_t workspace_bytes) {
  return cudnn_call("cudnnFindConvolutionBackwardFilterAlgorithmEx", [&] {
    const Problem2d problem = check_convolution(x_descriptor, dw_descriptor, convolution, dy_descriptor);
    need_memory(x, problem.x, "x", 16);
    need_memory(dy, problem.y, "dy", 16);
    try_all(dw, problem.w, {workspace, workspace_bytes});
    list(Direction::kBackwardFilter, problem, asked, returned, results);
  });
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                      cudnnFilterDescriptor_t w,
                                                      cudnnConvolutionDescriptor_t convolution,
                                                      cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algorithm,
                                                      std::size_t* bytes) {
  return cudnn_call("cudnnGetConvolutionForwardWorkspaceSize", [&] {
    *bytes =
        find_algorithm(Direction::kForward, algorithm, check_convolution(x, w, convolution, y)).workspace;
  });
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                           cudnnTensorDescriptor_t dy,
                                                           cudnnConvolutionDescriptor_t convolution,
                                                           cudnnTensorDescriptor_t dx,
                                                           cudnnConvolutionBwdDataAlgo_t algorithm,
                                                           std::size_t* bytes) {
  return cudnn_call("cudnnGetConvolutionBackwardDataWorkspaceSize", [&] {
    *bytes = find_algorithm(Direction::kBackwardData, algorithm, check_convolution(dx, w, convolution, dy))
                 .workspace;
  });
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                             cudnnTensorDescriptor_t dy,
                                                             cudnnConvolutionDescriptor_t convolution,
                                                             cudnnFilterDescriptor_t dw,
                                                             cudnnConvolutionBwdFilterAlgo_t algorithm,
                                                             std::size_t* bytes) {
  return cudnn_call("cudnnGetConvolutionBackwardFilterWorkspaceSize", [&] {
    *bytes = find_algorithm(Direction::kBackwardFilter, algorithm, check_convolution(x, dw, convolution, dy))
                 .workspace;
  });
}
