// The flat buffers: SGD, AdamW, the sum of squares and the sum of lanes. A few hundred kilobytes: these
// kernels are as short as their launch.

#include <cmath>

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"

namespace normlab::NORMLAB_PLATFORM {

inline constexpr unsigned kFlatThreads = 256;
/// Blocks of the sum of squares, whatever the device: the order of addition is part of the result.
inline constexpr unsigned kSquareBlocks = 64;

struct SgdRates {
  float lr, keep, weight_decay, gradient_scale;
  float of_gradient, of_velocity;  ///< what the step is made of
};

__global__ void sgd_kernel(float* w, const float* gradient, float* velocity, std::size_t count, SgdRates r) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float g = r.gradient_scale * gradient[i] + r.weight_decay * w[i];
  const float v = r.keep * velocity[i] + g;
  velocity[i] = v;
  w[i] -= r.lr * (r.of_gradient * g + r.of_velocity * v);
}

struct AdamWRates {
  float decay, beta1, beta2, epsilon, gradient_scale;
  float step_size, second_scale;  ///< with the corrections of both moments
};

__global__ void adamw_kernel(float* values, const float* gradient, float* first, float* second,
                             std::size_t count, AdamWRates r) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float g = r.gradient_scale * gradient[i];
  const float w = values[i] - r.decay * values[i];
  const float m = first[i] + (1.0F - r.beta1) * (g - first[i]);
  const float v = r.beta2 * second[i] + (1.0F - r.beta2) * g * g;
  first[i] = m;
  second[i] = v;
  values[i] = w - r.step_size * m / (sqrtf(v) * r.second_scale + r.epsilon);
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

/// The block's sum of a value of each of its kFlatThreads threads; valid in thread 0.
__device__ inline double sum_block(double value) {
  NORMLAB_SHARED(double, warps, kFlatThreads / kWarp);
  const unsigned thread = threadIdx.x;
  value = sum_lanes(value);
  if (thread % kWarp == 0) warps[thread / kWarp] = value;
  __syncthreads();
  double sum = 0;
  for (unsigned i = 0; i < kFlatThreads / kWarp; ++i) sum += warps[i];
  return sum;
}

__global__ void squares_kernel(const float* values, std::size_t count, double* partials) {
  double sum = 0;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<std::size_t>(kSquareBlocks) * kFlatThreads) {
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  sum = sum_block(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void add_partials_kernel(const double* partials, unsigned count, double* total) {
  double sum = sum_block(threadIdx.x < count ? partials[threadIdx.x] : 0.0);
  if (threadIdx.x == 0) *total = sum;
}
static_assert(kSquareBlocks <= kFlatThreads);

void CudaBackend::add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) {
  if (count < 2 || size == 0) return;
  launch(add_lanes_kernel, blocks_for(size, kFlatThreads), kFlatThreads, 0, stream(), lanes, stride, size,
         count);
}

double CudaBackend::sum_of_squares(const float* values, std::size_t count) {
  auto* partials = static_cast<double*>(workspace((kSquareBlocks + 1) * sizeof(double)));
  double* total = partials + kSquareBlocks;
  launch(squares_kernel, kSquareBlocks, kFlatThreads, 0, stream(), values, count, partials);
  launch(add_partials_kernel, 1U, kFlatThreads, 0, stream(), partials, kSquareBlocks, total);
  double sum = 0;
  to_host(total, &sum, sizeof sum);
  return sum;
}

void CudaBackend::sgd(const SgdStep& args) {
  if (args.count == 0) return;
  const SgdRates rates{args.lr,
                       args.first ? 0.0F : args.momentum,
                       args.weight_decay,
                       args.gradient_scale,
                       args.nesterov ? 1.0F : 0.0F,
                       args.nesterov ? args.momentum : 1.0F};
  launch(sgd_kernel, blocks_for(args.count, kFlatThreads), kFlatThreads, 0, stream(), args.w, args.g, args.v,
         args.count, rates);
}

void CudaBackend::adamw(const AdamWStep& args) {
  if (args.count == 0) return;
  const double t = static_cast<double>(args.step);
  const double first = 1 - std::pow(static_cast<double>(args.beta1), t);
  const double second = 1 - std::pow(static_cast<double>(args.beta2), t);
  const AdamWRates rates{args.lr * args.weight_decay,
                         args.beta1,
                         args.beta2,
                         args.epsilon,
                         args.gradient_scale,
                         static_cast<float>(static_cast<double>(args.lr) / first),
                         static_cast<float>(1 / std::sqrt(second))};
  launch(adamw_kernel, blocks_for(args.count, kFlatThreads), kFlatThreads, 0, stream(), args.w, args.g,
         args.m, args.v, args.count, rates);
}

}  // namespace normlab::NORMLAB_PLATFORM
