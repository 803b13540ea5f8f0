// A sample of one pixel is a row of padded channels, so activations are row-major matrices for cuBLAS, which
// multiplies in fp32 whatever they are stored as: they are small. cuBLAS counts in columns: a row-major
// matrix is its transpose.

#include "cuda/device.hpp"
#include "layers/kernels/linear.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Bytes: few.
template <typename T>
__global__ void widen_rows_kernel(const T* from, std::size_t count, float* to) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) to[i] = to_float(from[i]);
}

/// to(row, c) = from(row, c) + bias(c), and zero in the padding; `from` may be `to`. Bytes: few.
template <typename T>
__global__ void finish_rows_kernel(const float* from, const float* bias, unsigned channels, unsigned stride,
                                   std::size_t count, T* to) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const auto c = static_cast<unsigned>(i % stride);
  float value = 0;
  if (c < channels) value = bias == nullptr ? from[i] : from[i] + bias[c];
  to[i] = from_float<T>(value);
}

namespace {

constexpr unsigned kThreads = 256;

std::size_t values_of(const Tensor& x) {
  return static_cast<std::size_t>(x.shape.n) * static_cast<std::size_t>(padded(x.shape.c));
}

/// x as floats: itself, or widened into `room`.
const float* floats_of(CudaBackend& backend, const Tensor& x, float* room) {
  if (x.type == DataType::f32) return elements<float>(x);
  launch(widen_rows_kernel<__nv_bfloat16>, blocks_for(values_of(x), kThreads), kThreads, 0, backend.stream(),
         elements<__nv_bfloat16>(x), values_of(x), room);
  return room;
}

/// Where a product goes that will become y.
float* target_of(const Tensor& y, float* room) {
  return y.type == DataType::f32 ? elements<float>(y) : room;
}

void finish(CudaBackend& backend, const float* from, const float* bias, const Tensor& y) {
  with_elements(y.type, [&](auto zero) {
    using T = decltype(zero);
    launch(finish_rows_kernel<T>, blocks_for(values_of(y), kThreads), kThreads, 0, backend.stream(), from,
           bias, y.shape.c, padded(y.shape.c), values_of(y), elements<T>(y));
  });
}

struct Matrix {
  cublasOperation_t operation;
  const float* data;
  int stride;
};

/// C (m x n) = A (m x k) B (k x n) + beta C, in columns.
void multiply(CudaBackend& backend, int m, int n, int k, Matrix a, Matrix b, float beta, float* c,
              int stride) {
  const float one = 1;
  NORMLAB_CHECK(cublasGemmEx(backend.cublas(), a.operation, b.operation, m, n, k, &one, a.data, CUDA_R_32F,
                             a.stride, b.data, CUDA_R_32F, b.stride, &beta, c, CUDA_R_32F, stride,
                             backend.tf32() ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                             CUBLAS_GEMM_DEFAULT));
}

}  // namespace

namespace {

class CudaLinear final : public CudaKernels<LinearKernels> {
 public:
  using CudaKernels::CudaKernels;
  void forward(const LinearForward& args) override;
  void backward(const LinearBackward& args) override;
};

}  // namespace

void CudaLinear::forward(const LinearForward& args) {
  const int n = args.x.shape.n, i = args.x.shape.c, o = args.y.shape.c;
  auto* room = static_cast<float*>(workspace((values_of(args.x) + values_of(args.y)) * sizeof(float)));
  const float* x = floats_of(backend_, args.x, room);
  float* y = target_of(args.y, room + values_of(args.x));
  multiply(backend_, o, n, i, {CUBLAS_OP_T, args.weight, i}, {CUBLAS_OP_N, x, padded(i)}, 0, y, padded(o));
  finish(backend_, y, args.bias, args.y);
}

void CudaLinear::backward(const LinearBackward& args) {
  const int n = args.x.shape.n, i = args.x.shape.c, o = args.dy.shape.c;
  if (args.dweight != nullptr) backend_.add_channel_sums(args.dy, args.dbias);
  auto* room = static_cast<float*>(workspace((2 * values_of(args.x) + values_of(args.dy)) * sizeof(float)));
  const float* dy = floats_of(backend_, args.dy, room);
  room += values_of(args.dy);
  if (args.dweight != nullptr) {
    const float* x = floats_of(backend_, args.x, room);
    multiply(backend_, i, o, n, {CUBLAS_OP_N, x, padded(i)}, {CUBLAS_OP_T, dy, padded(o)}, 1, args.dweight,
             i);
  }
  if (args.dx.empty()) return;
  float* dx = target_of(args.dx, room + values_of(args.x));
  multiply(backend_, i, n, o, {CUBLAS_OP_N, args.weight, i}, {CUBLAS_OP_N, dy, padded(o)}, 0, dx, padded(i));
  finish(backend_, dx, nullptr, args.dx);
}

template <>
std::unique_ptr<LinearKernels> make_cuda_kernels<LinearKernels>(CudaBackend& backend) {
  return std::make_unique<CudaLinear>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
