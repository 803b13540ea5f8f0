// Convolutions: the checks, then loops in double.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tests/simt/cudnn.hpp"
#include "tests/simt/cudnn_algorithms.hpp"
#include "tests/simt/cudnn_loops.hpp"
#include "tests/simt/machine.hpp"

namespace simt {
namespace {

// The same memory with its dimensions in another order.
Strided permuted(const Strided& t, std::array<int, 4> order) {
  Strided result = t;
  for (int i = 0; i < 4; ++i) {
    result.dims[i] = t.dims[order[static_cast<std::size_t>(i)]];
    result.strides[i] = t.strides[order[static_cast<std::size_t>(i)]];
  }
  return result;
}
Strided pixels(const Strided& t) {
  return permuted(t, {0, 2, 3, 1});
}  // n h w c
Strided taps(const Strided& filter) {
  return permuted(filter, {2, 3, 1, 0});
}  // h w c k
Strided back_taps(const Strided& filter) {
  return permuted(filter, {2, 3, 0, 1});
}  // h w k c

// TF32 is what cuDNN computes floats in unless it is told not to.
bool uses_tf32(const Strided& x, cudnnMathType_t math) {
  return x.type == Number::kFloat && math != CUDNN_FMA_MATH;
}

// An algorithm that adds in any order gives other bits each time.
void blur(std::vector<double>& values, bool deterministic) {
  if (deterministic) return;
  for (double& value : values) value *= 1 + 1e-6 * (static_cast<double>(random_order().below(3)) - 1);
}

void need_workspace(const Workspace& workspace, std::size_t bytes) {
  need(workspace.bytes >= bytes, CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT,
       fmt::format("a workspace of {} bytes, the algorithm needs {}", workspace.bytes, bytes));
  if (bytes > 0) need_bytes(workspace.data, workspace.bytes, "workspace", 16);
}

// Forward, with what the fused call adds: z and bias may be null.
struct Epilogue {
  double alpha2 = 0;
  Strided z;
  const void* z_data = nullptr;
  Strided bias;
  const void* bias_data = nullptr;
  bool relu = false;
};

void forward(cudnnHandle_t handle, double alpha, double beta, const Problem2d& problem, const void* x,
             const void* w, int algorithm, Workspace workspace, void* y, const Epilogue& epilogue) {
  const AlgorithmInfo info = find_algorithm(Direction::kForward, algorithm, problem);
  need_workspace(workspace, info.workspace);
  need_memory(x, problem.x, "x", 16);
  need_memory(w, problem.w, "w", 16);
  need_memory(y, problem.y, "y", 16);
  need(x != y, CUDNN_STATUS_BAD_PARAM, "x and y are the same memory");
  workspace.bytes = info.workspace;
  submit_cudnn(handle, workspace, [=] {
    const bool tf32 = uses_tf32(problem.x, problem.math);
    std::vector<double> sums(problem.y.values());
    convolve(problem.shape, gather(x, pixels(problem.x), tf32).data(),
             gather(w, taps(problem.w), tf32).data(), sums.data());
    if (epilogue.bias_data) {
      const std::vector<double> bias = gather(epilogue.bias_data, epilogue.bias);
      std::vector<double> z(sums.size());
      if (epilogue.alpha2 != 0) z = gather(epilogue.z_data, pixels(epilogue.z));
      for (std::size_t i = 0; i < sums.size(); ++i) {
        sums[i] = alpha * sums[i] + epilogue.alpha2 * z[i] + bias[i % bias.size()];
        if (epilogue.relu) sums[i] = std::max(sums[i], 0.0);
      }
    }
    scatter(sums, epilogue.bias_data ? 1.0 : alpha, beta, pixels(problem.y), y);
  });
}

}  // namespace

Problem2d check_convolution(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                            cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y) {
  Problem2d p;
  p.x = dense(x, "x");
  p.w = dense(w, "w");
  p.y = dense(y, "y");
  need(convolution && convolution->set, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
       "the descriptor of the convolution was not set");
  p.math = convolution->math;
  const auto out = [](int in, int kernel, int pad, int stride, int dilation) {
    return (in + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  };
  p.shape = {p.x.dims[0],
             p.x.dims[1],
             p.x.dims[2],
             p.x.dims[3],
             p.w.dims[0],
             p.y.dims[2],
             p.y.dims[3],
             p.w.dims[2],
             p.w.dims[3],
             convolution->pad_h,
             convolution->pad_w,
             convolution->stride_h,
             convolution->stride_w,
             convolution->dilation_h,
             convolution->dilation_w};
  const Convolution& s = p.shape;
  need(p.w.dims[1] == s.c, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
       fmt::format("x has {} channels, the filter {}", s.c, p.w.dims[1]));
  const int h = out(s.h, s.kernel_h, s.pad_h, s.stride_h, s.dilation_h);
  const int width = out(s.w, s.kernel_w, s.pad_w, s.stride_w, s.dilation_w);
  need(p.y.dims[0] == s.n && p.y.dims[1] == s.k && s.out_h == h && s.out_w == width,
       CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
       fmt::format("y is {} x {} x {} x {}, it must be {} x {} x {} x {}", p.y.dims[0], p.y.dims[1], s.out_h,
                   s.out_w, s.n, s.k, h, width));
  need(p.x.type == p.w.type && p.x.type == p.y.type, CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE,
       "x, w and y are not of one type");
  p.channels_last = channels_last(p.x) && channels_last(p.w) && channels_last(p.y);
  const auto channels_first = [](const Strided& t) {
    return !channels_last(t) || t.dims[1] == 1 || t.dims[2] * t.dims[3] == 1;
  };
  need(p.channels_last || (channels_first(p.x) && channels_first(p.w) && channels_first(p.y)),
       CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, "x, w and y are not all NCHW or all NHWC");
  return p;
}

}  // namespace simt

using namespace simt;

cudnnStatus_t cudnnGetConvolution2dForwardOutputDim(cudnnConvolutionDescriptor_t convolution,
                                                    cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                                                    int* n, int* c, int* h, int* width) {
  return cudnn_call("cudnnGetConvolution2dForwardOutputDim", [&] {
    need(convolution && convolution->set, CUDNN_STATUS_BAD_PARAM,
         "the descriptor of the convolution was not set");
    const Strided &in = dense(x, "x"), &filter = dense(w, "w");
    need(in.dims[1] == filter.dims[1], CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "x and w differ in channels");
    *n = in.dims[0];
    *c = filter.dims[0];
    *h = (in.dims[2] + 2 * convolution->pad_h - convolution->dilation_h * (filter.dims[2] - 1) - 1) /
             convolution->stride_h +
         1;
    *width = (in.dims[3] + 2 * convolution->pad_w - convolution->dilation_w * (filter.dims[3] - 1) - 1) /
                 convolution->stride_w +
             1;
  });
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha,
                                      cudnnTensorDescriptor_t x_descriptor, const void* x,
                                      cudnnFilterDescriptor_t w_descriptor, const void* w,
                                      cudnnConvolutionDescriptor_t convolution,
                                      cudnnConvolutionFwdAlgo_t algorithm, void* workspace,
                                      std::size_t workspace_bytes, const void* beta,
                                      cudnnTensorDescriptor_t y_descriptor, void* y) {
  return cudnn_call("cudnnConvolutionForward", [&] {
    forward(handle, scale_of(alpha, "alpha"), scale_of(beta, "beta"),
            check_convolution(x_descriptor, w_descriptor, convolution, y_descriptor), x, w, algorithm,
            {workspace, workspace_bytes}, y, {});
  });
}

cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void* alpha1, cudnnTensorDescriptor_t x_descriptor, const void* x,
    cudnnFilterDescriptor_t w_descriptor, const void* w, cudnnConvolutionDescriptor_t convolution,
    cudnnConvolutionFwdAlgo_t algorithm, void* workspace, std::size_t workspace_bytes, const void* alpha2,
    cudnnTensorDescriptor_t z_descriptor, const void* z, cudnnTensorDescriptor_t bias_descriptor,
    const void* bias, cudnnActivationDescriptor_t activation, cudnnTensorDescriptor_t y_descriptor, void* y) {
  return cudnn_call("cudnnConvolutionBiasActivationForward", [&] {
    const Problem2d problem = check_convolution(x_descriptor, w_descriptor, convolution, y_descriptor);
    need(activation && activation->set, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "the activation was not set");
    need(activation->mode == CUDNN_ACTIVATION_RELU ||
             algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
         CUDNN_STATUS_NOT_SUPPORTED, "the identity needs CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM");
    Epilogue epilogue;
    epilogue.alpha2 = scale_of(alpha2, "alpha2");
    epilogue.relu = activation->mode == CUDNN_ACTIVATION_RELU;
    need_per_channel(bias_descriptor, problem.shape.k, problem.y.type, "bias");
    epilogue.bias = bias_descriptor->layout;
    need_memory(bias, epilogue.bias, "bias", bytes_of(epilogue.bias.type));
    epilogue.bias_data = bias;
    epilogue.z = dense(z_descriptor, "z");  // looked at even if alpha2 is 0
    need(
        std::equal(epilogue.z.dims, epilogue.z.dims + 4, problem.y.dims) && epilogue.z.type == problem.y.type,
        CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "z is not like y");
    need_memory(z, epilogue.z, "z", 16);
    epilogue.z_data = z;
    forward(handle, scale_of(alpha1, "alpha1"), 0, problem, x, w, algorithm, {workspace, workspace_bytes}, y,
            epilogue);
  });
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha,
                                           cudnnFilterDescriptor_t w_descriptor, const void* w,
                                           cudnnTensorDescriptor_t dy_descriptor, const void* dy,
                                           cudnnConvolutionDescriptor_t convolution,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void* workspace,
                                           std::size_t workspace_bytes, const void* beta,
                                           cudnnTensorDescriptor_t dx_descriptor, void* dx) {
  return cudnn_call("cudnnConvolutionBackwardData", [&] {
    const Problem2d problem = check_convolution(dx_descriptor, w_descriptor, convolution, dy_descriptor);
    const AlgorithmInfo info = find_algorithm(Direction::kBackwardData, algorithm, problem);
    const double by_alpha = scale_of(alpha, "alpha"), by_beta = scale_of(beta, "beta");
    need_workspace({workspace, workspace_bytes}, info.workspace);
    need_memory(w, problem.w, "w", 16);
    need_memory(dy, problem.y, "dy", 16);
    need_memory(dx, problem.x, "dx", 16);
    need(dx != dy, CUDNN_STATUS_BAD_PARAM, "dx and dy are the same memory");
    submit_cudnn(handle, {workspace, info.workspace}, [=] {
      const bool tf32 = uses_tf32(problem.x, problem.math);
      std::vector<double> sums(problem.x.values());
      convolve_back(problem.shape, gather(dy, pixels(problem.y), tf32).data(),
                    gather(w, back_taps(problem.w), tf32).data(), sums.data());
      blur(sums, info.deterministic);
      scatter(sums, by_alpha, by_beta, pixels(problem.x), dx);
    });
  });
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha,
                                             cudnnTensorDescriptor_t x_descriptor, const void* x,
                                             cudnnTensorDescriptor_t dy_descriptor, const void* dy,
                                             cudnnConvolutionDescriptor_t convolution,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace,
                                             std::size_t workspace_bytes, const void* beta,
                                             cudnnFilterDescriptor_t dw_descriptor, void* dw) {
  return cudnn_call("cudnnConvolutionBackwardFilter", [&] {
    const Problem2d problem = check_convolution(x_descriptor, dw_descriptor, convolution, dy_descriptor);
    const AlgorithmInfo info = find_algorithm(Direction::kBackwardFilter, algorithm, problem);
    const double by_alpha = scale_of(alpha, "alpha"), by_beta = scale_of(beta, "beta");
    need_workspace({workspace, workspace_bytes}, info.workspace);
    need_memory(x, problem.x, "x", 16);
    need_memory(dy, problem.y, "dy", 16);
    need_memory(dw, problem.w, "dw", 16);
    submit_cudnn(handle, {workspace, info.workspace}, [=] {
      const bool tf32 = uses_tf32(problem.x, problem.math);
      std::vector<double> sums(problem.w.values());
      filter_gradient(problem.shape, gather(x, pixels(problem.x), tf32).data(),
                      gather(dy, pixels(problem.y), tf32).data(), sums.data());
      blur(sums, info.deterministic);
      scatter(sums, by_alpha, by_beta, taps(problem.w), dw);
    });
  });
}

cudnnStatus_t cudnnConvolutionBackwardBias(cudnnHandle_t handle, const void* alpha,
                                           cudnnTensorDescriptor_t dy_descriptor, const void* dy,
                                           const void* beta, cudnnTensorDescriptor_t db_descriptor,
                                           void* db) {
  return cudnn_call("cudnnConvolutionBackwardBias", [&] {
    const Strided y = dense(dy_descriptor, "dy");
    need_per_channel(db_descriptor, y.dims[1], y.type, "db");
    const Strided bias = db_descriptor->layout;
    const double by_alpha = scale_of(alpha, "alpha"), by_beta = scale_of(beta, "beta");
    need_memory(dy, y, "dy", 16);
    need_memory(db, bias, "db", bytes_of(bias.type));
    submit_cudnn(handle, {}, [=] {
      const std::vector<double> values = gather(dy, pixels(y));
      std::vector<double> sums(bias.values());
      for (std::size_t i = 0; i < values.size(); ++i) sums[i % sums.size()] += values[i];
      scatter(sums, by_alpha, by_beta, bias, db);
    });
  });
}
