// The flat buffers: SGD, AdamW, the sum of squares and the sum of lanes. A few hundred kilobytes: these
// kernels are as short as their launch.

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"
#include "layers/kernels/optimizer.hpp"

namespace normlab::NORMLAB_PLATFORM {

inline constexpr unsigned kFlatThreads = 256;
/// Blocks of the sum of squares, whatever the device: the order of addition is part of the result.
inline constexpr unsigned kSquareBlocks = 64;

/// Of the gradient, by the norm that stands on the device.
__device__ inline float gradient_scale(const double* squared_norm, double clip) {
  return clip > 0 ? clip_scale(sqrt(*squared_norm), clip) : 1.0F;
}

__global__ void sgd_kernel(SgdStep s) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= s.count) return;
  const StepRates r = *s.rates;
  const float g = gradient_scale(s.squared_norm, s.clip) * s.g[i] + s.weight_decay * s.w[i];
  const float v = r.keep * s.v[i] + g;
  s.v[i] = v;
  s.w[i] -= r.lr * (s.nesterov ? g + r.momentum * v : v);
}

__global__ void adamw_kernel(AdamWStep s) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= s.count) return;
  const StepRates r = *s.rates;
  const float g = gradient_scale(s.squared_norm, s.clip) * s.g[i];
  const float w = s.w[i] - r.lr * s.weight_decay * s.w[i];
  const float m = s.m[i] + (1.0F - r.momentum) * (g - s.m[i]);
  const float v = s.beta2 * s.v[i] + (1.0F - s.beta2) * g * g;
  s.m[i] = m;
  s.v[i] = v;
  s.w[i] = w - r.step_size * m / (sqrtf(v) * r.second_scale + s.epsilon);
}

/// lanes[0] += the others, in a tree: lane i takes lane i + distance.
__global__ void add_lanes_kernel(float* lanes, std::size_t stride, std::size_t size, int count) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size) return;
  for (int distance = 1; distance < count; distance *= 2) {
    for (int lane = 0; lane + distance < count; lane += 2 * distance) {
      lanes[static_cast<std::size_t>(lane) * stride + i] +=
          lanes[static_cast<std::size_t>(lane + distance) * stride + i];
    }
  }
}

__global__ void squares_kernel(const float* values, std::size_t count, double* partials) {
  double sum = 0;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<std::size_t>(kSquareBlocks) * kFlatThreads) {
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  sum = sum_block<kFlatThreads>(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void add_partials_kernel(const double* partials, unsigned count, double* total) {
  const double sum = sum_block<kFlatThreads>(threadIdx.x < count ? partials[threadIdx.x] : 0.0);
  if (threadIdx.x == 0) *total = sum;
}
static_assert(kSquareBlocks <= kFlatThreads);

namespace {

class CudaOptimizer final : public CudaKernels<OptimizerKernels> {
 public:
  using CudaKernels::CudaKernels;
  void add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) override;
  void sum_of_squares(const float* values, std::size_t count, double* sum) override;
  void sgd(const SgdStep& args) override;
  void adamw(const AdamWStep& args) override;
};

}  // namespace

void CudaOptimizer::add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) {
  if (count < 2 || size == 0) return;
  launch(add_lanes_kernel, blocks_for(size, kFlatThreads), kFlatThreads, 0, stream(), lanes, stride, size,
         count);
}

void CudaOptimizer::sum_of_squares(const float* values, std::size_t count, double* sum) {
  auto* partials = static_cast<double*>(workspace(kSquareBlocks * sizeof(double)));
  launch(squares_kernel, kSquareBlocks, kFlatThreads, 0, stream(), values, count, partials);
  launch(add_partials_kernel, 1U, kFlatThreads, 0, stream(), partials, kSquareBlocks, sum);
}

void CudaOptimizer::sgd(const SgdStep& args) {
  if (args.count == 0) return;
  launch(sgd_kernel, blocks_for(args.count, kFlatThreads), kFlatThreads, 0, stream(), args);
}

void CudaOptimizer::adamw(const AdamWStep& args) {
  if (args.count == 0) return;
  launch(adamw_kernel, blocks_for(args.count, kFlatThreads), kFlatThreads, 0, stream(), args);
}

template <>
std::unique_ptr<OptimizerKernels> make_cuda_kernels<OptimizerKernels>(CudaBackend& backend) {
  return std::make_unique<CudaOptimizer>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
