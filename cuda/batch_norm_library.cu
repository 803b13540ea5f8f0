// Batch norm by cuDNN's legacy calls, training and inference, for --bn cudnn: to compare our kernels
// with. cuDNN sums x as it is, not x less a value of its size, so means far above the deviation
// cost accuracy. Its fused ReLU exists for bf16 alone and keeps a mask that nobody else reads; the ReLU is a
// kernel of ours here.

#include "cuda/batch_norm.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// y = max(y, 0) in place. Bytes: y in, y out; 90 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) batch_norm_relu_kernel(std::size_t count, T* y) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  auto* at = reinterpret_cast<Raw*>(y) + i;
  float v[kWidth<T>];
  widen(*at, v);
  NORMLAB_UNROLL
  for (float& value : v) value = positive(value);
  store_raw(at, narrow(v));
}

/// dz = dy where the ReLU of gamma (x - mean) rstd + beta passed, else 0; `vectors` of 16 bytes a pixel.
/// Bytes: x and dy in, dz out; 85 % of what a copy reaches.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, 4)
    batch_norm_mask_kernel(const T* __restrict__ x, const float* __restrict__ mean,
                           const float* __restrict__ rstd, const float* __restrict__ gamma,
                           const float* __restrict__ beta, const T* __restrict__ dy, std::size_t count,
                           int vectors, T* __restrict__ dz) {
  constexpr int kChannels = kWidth<T>;
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int channel = static_cast<int>(i % static_cast<std::size_t>(vectors)) * kChannels;
  const std::size_t at = i * static_cast<std::size_t>(kChannels);
  float v[kChannels], gradient[kChannels];
  widen(load_raw(x + at), v);
  widen(load_raw(dy + at), gradient);
  NORMLAB_UNROLL
  for (int k = 0; k < kChannels; ++k) {
    const int c = channel + k;
    gradient[k] = where_positive(affine(v[k] - mean[c], gamma[c] * rstd[c], beta[c]), gradient[k]);
  }
  store_raw(dz + at, narrow(gradient));
}

namespace {

constexpr auto kMode = CUDNN_BATCHNORM_SPATIAL;
constexpr auto kCudnnEpsilon = static_cast<double>(kEpsilon);
static_assert(kCudnnEpsilon >= CUDNN_BN_MIN_EPSILON);

class CudnnBatchNormPlan : public BatchNormPlan {
 public:
  CudnnBatchNormPlan(CudaBackend& backend, const BatchNormSpec& spec) : backend_(backend), spec_(spec) {
    if (spec.x.c % 8 != 0) {
      throw Error("cuDNN's batch norm takes channels in eights here, not {}; use --bn own or another --width",
                  spec.x.c);
    }
    per_channel_ = TensorDescriptor::make();
    NORMLAB_CHECK(cudnnSetTensor4dDescriptor(per_channel_.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1,
                                             spec.x.c, 1, 1));
    saved_ = DeviceBytes::make(2 * static_cast<std::size_t>(spec.x.c) * sizeof(float));
  }

  void forward(Tensor x, const BatchNormParameters& p, Tensor y) override {
    const TensorDescriptor shape = described(x);
    const float one = 1, zero = 0;
    NORMLAB_CHECK(cudnnBatchNormalizationForwardTraining(
        backend_.cudnn(), kMode, &one, &zero, shape.get(), x.data, shape.get(), y.data, per_channel_.get(),
        p.gamma, p.beta, static_cast<double>(kRunningMomentum), p.running_mean, p.running_var, kCudnnEpsilon,
        mean(), rstd()));
    activate(y);
  }

  void evaluate(Tensor x, const BatchNormParameters& p, Tensor y) override {
    const TensorDescriptor shape = described(x);
    const float one = 1, zero = 0;
    NORMLAB_CHECK(cudnnBatchNormalizationForwardInference(
        backend_.cudnn(), kMode, &one, &zero, shape.get(), x.data, shape.get(), y.data, per_channel_.get(),
        p.gamma, p.beta, p.running_mean, p.running_var, kCudnnEpsilon));
    activate(y);
  }

  void backward(Tensor x, const BatchNormParameters& p, Tensor dy, Tensor dx, float* dgamma,
                float* dbeta) override {
    const TensorDescriptor shape = described(x);
    const std::size_t bytes = vectors(x) * sizeof(Raw);
    // dz, and a dx that nobody wants but cuDNN writes
    auto* room =
        static_cast<std::byte*>(backend_.workspace((spec_.relu ? bytes : 0) + (dx.empty() ? bytes : 0)));
    const std::byte* dz = dy.data;
    if (spec_.relu) {
      mask(x, p, dy, room);
      dz = room;
      room += bytes;
    }
    const float one = 1, zero = 0;
    NORMLAB_CHECK(cudnnBatchNormalizationBackward(backend_.cudnn(), kMode, &one, &zero, &one, &one,
                                                  shape.get(), x.data, shape.get(), dz, shape.get(),
                                                  dx.empty() ? room : dx.data, per_channel_.get(), p.gamma,
                                                  dgamma, dbeta, kCudnnEpsilon, mean(), rstd()));
  }

 private:
  [[nodiscard]] float* mean() const { return static_cast<float*>(saved_.get()); }
  [[nodiscard]] float* rstd() const { return mean() + spec_.x.c; }

  /// Channels are no padding: there are eights of them.
  [[nodiscard]] static TensorDescriptor described(const Tensor& x) {
    TensorDescriptor shape = TensorDescriptor::make();
    NORMLAB_CHECK(cudnnSetTensor4dDescriptor(
        shape.get(), CUDNN_TENSOR_NHWC, x.type == DataType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT,
        x.shape.n, x.shape.c, x.shape.h, x.shape.w));
    return shape;
  }

  void activate(const Tensor& y) {
    if (!spec_.relu) return;
    const std::size_t count = vectors(y);
    with_elements(y.type, [&](auto element) {
      using T = decltype(element);
      launch(batch_norm_relu_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, backend_.stream(),
             count, elements<T>(y));
    });
  }

  void mask(const Tensor& x, const BatchNormParameters& p, const Tensor& dy, std::byte* dz) {
    const std::size_t count = vectors(x);
    with_elements(x.type, [&](auto element) {
      using T = decltype(element);
      launch(batch_norm_mask_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, backend_.stream(),
             elements<T>(x), mean(), rstd(), p.gamma, p.beta, elements<T>(dy), count, x.shape.c / kWidth<T>,
             reinterpret_cast<T*>(dz));
    });
  }

  CudaBackend& backend_;
  BatchNormSpec spec_;
  TensorDescriptor per_channel_;
  DeviceBytes saved_;  ///< mean and rstd of the last forward(), (2, c)
};

}  // namespace

std::unique_ptr<BatchNormPlan> CudaBatchNorm::plan(const BatchNormSpec& spec) {
  if (!backend_.cudnn_batch_norm()) return nullptr;
  return std::make_unique<CudnnBatchNormPlan>(backend_, spec);
}

}  // namespace normlab::NORMLAB_PLATFORM
