// Convolution by cuDNN's legacy calls, NHWC, by deterministic algorithms alone: NHWC has two forward,
// implicit GEMM with precomputed indices and without, and algorithm 1 each way back. A plan takes the first
// that this cuDNN and GPU offer for its shape; nothing is measured. The choice is recorded
// (Backend::choices), and a resumed run is given it. fp32 means fp32 unless TF32 was asked for; bf16 is
// multiplied on tensor cores and added up in fp32. cuDNN rounds the gradient of bf16 weights to bf16, as
// PyTorch has it.
//
// Weights are packed as (out, kernel, kernel, in), in the storage type, both channel counts padded, then the
// bias; gradients the same way, in fp32.

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "cuda/device.hpp"
#include "layers/kernels/conv2d.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Extents of the weights as they are packed and as PyTorch has them.
struct FilterShape {
  int out, in, taps;  ///< PyTorch's: (out, in, taps)
  int padded_out, padded_in;
};

/// Packs weights and bias: a thread for each value, padding included. Bytes: few.
template <typename T>
__global__ void pack_filter_kernel(FilterShape f, const float* weight, const float* bias, int count,
                                   T* packed) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int weights = f.padded_out * f.taps * f.padded_in;
  if (i >= count) return;
  float value = 0;
  if (i >= weights) {
    if (i - weights < f.out) value = bias[i - weights];
  } else {
    const int in = i % f.padded_in, tap = i / f.padded_in % f.taps, out = i / f.padded_in / f.taps;
    if (in < f.in && out < f.out) value = weight[(out * f.in + in) * f.taps + tap];
  }
  packed[i] = from_float<T>(value);
}

/// The gradient of the weights, in PyTorch's layout; a thread for each of its values.
__global__ void unpack_filter_kernel(FilterShape f, const float* packed, float* dweight) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= f.out * f.in * f.taps) return;
  const int tap = i % f.taps, in = i / f.taps % f.in, out = i / f.taps / f.in;
  dweight[i] = packed[(out * f.taps + tap) * f.padded_in + in];
}

/// sum += term, from bf16 to fp32.
__global__ void add_filter_kernel(const __nv_bfloat16* term, int count, float* sum) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) sum[i] += to_float(term[i]);
}

namespace {

constexpr unsigned kThreads = 256;
/// The deterministic algorithms, what is faster first.
constexpr std::array kForward{CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                              CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM};
constexpr std::array kBackwardData{CUDNN_CONVOLUTION_BWD_DATA_ALGO_1};
constexpr std::array kBackwardFilter{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1};

std::size_t aligned(std::size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

class CudnnConv2dPlan : public Conv2dPlan {
 public:
  CudnnConv2dPlan(CudaBackend& backend, const Conv2dSpec& spec)
      : backend_(backend),
        spec_(spec),
        type_(spec.type == DataType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT),
        in_(channel_stride({nullptr, spec.x, spec.type, spec.x_layout})),
        out_(padded(spec.out_channels)),
        filter_{spec.out_channels, spec.x.c, spec.kernel * spec.kernel, out_, in_},
        weights_(out_ * filter_.taps * in_) {
    w_ = FilterDescriptor::make();
    NORMLAB_CHECK(
        cudnnSetFilter4dDescriptor(w_.get(), type_, CUDNN_TENSOR_NHWC, out_, in_, spec.kernel, spec.kernel));
    convolution_ = ConvolutionDescriptor::make();
    NORMLAB_CHECK(cudnnSetConvolution2dDescriptor(convolution_.get(), spec.padding, spec.padding, spec.stride,
                                                  spec.stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                                  CUDNN_DATA_FLOAT));
    const bool exact = spec.type == DataType::f32 && !backend.tf32();
    NORMLAB_CHECK(
        cudnnSetConvolutionMathType(convolution_.get(), exact ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH));
    bias_ = TensorDescriptor::make();
    NORMLAB_CHECK(cudnnSetTensor4dDescriptor(bias_.get(), CUDNN_TENSOR_NHWC, type_, 1, out_, 1, 1));
    identity_ = ActivationDescriptor::make();
    NORMLAB_CHECK(
        cudnnSetActivationDescriptor(identity_.get(), CUDNN_ACTIVATION_IDENTITY, CUDNN_PROPAGATE_NAN, 0.0));
    choose();
    const Prepared& most = prepared(spec.x.n);
    workspace_bytes_ = std::max({most.forward, most.data, most.weights});
  }

  [[nodiscard]] std::size_t packed_values() const override {
    const auto values = static_cast<std::size_t>(values_count());
    return spec_.type == DataType::bf16 ? (values + 1) / 2 : values;
  }
  [[nodiscard]] std::size_t packed_gradients() const override {
    return static_cast<std::size_t>(values_count());
  }
  [[nodiscard]] std::size_t scratch_bytes() const override { return term_bytes() + workspace_bytes_; }

  void pack(const float* weight, const float* bias, float* packed) override {
    const int count = values_count();
    with_elements(spec_.type, [&](auto zero) {
      using T = decltype(zero);
      launch(pack_filter_kernel<T>, blocks(count), kThreads, 0, backend_.stream(), filter_, weight, bias,
             count, reinterpret_cast<T*>(packed));
    });
  }

  void unpack(const float* packed_gradients, float* dweight, float* dbias) override {
    launch(unpack_filter_kernel, blocks(filter_.out * filter_.in * filter_.taps), kThreads, 0,
           backend_.stream(), filter_, packed_gradients, dweight);
    if (spec_.bias) {
      backend_.copy_bytes(packed_gradients + weights_, dbias,
                          static_cast<std::size_t>(spec_.out_channels) * sizeof(float));
    }
  }

  void forward(Tensor x, const float* packed, Tensor y, void* scratch, int) override {
    const Prepared& p = prepared(x.shape.n);
    const float one = 1, zero = 0;
    void* workspace = room(scratch, p.forward);
    if (!spec_.bias) {
      NORMLAB_CHECK(cudnnConvolutionForward(backend_.cudnn(), &one, p.x.get(), x.data, w_.get(), packed,
                                            convolution_.get(), forward_, workspace, p.forward, &zero,
                                            p.y.get(), y.data));
      return;
    }
    const std::byte* bias = reinterpret_cast<const std::byte*>(packed) +
                            static_cast<std::size_t>(weights_) * element_bytes(spec_.type);
    NORMLAB_CHECK(cudnnConvolutionBiasActivationForward(
        backend_.cudnn(), &one, p.x.get(), x.data, w_.get(), packed, convolution_.get(), forward_, workspace,
        p.forward, &zero, p.y.get(), y.data, bias_.get(), bias, identity_.get(), p.y.get(), y.data));
  }

  void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int) override {
    const Prepared& p = prepared(dy.shape.n);
    const float one = 1, zero = 0;
    NORMLAB_CHECK(cudnnConvolutionBackwardData(backend_.cudnn(), &one, w_.get(), packed, p.y.get(), dy.data,
                                               convolution_.get(), data_, room(scratch, p.data), p.data,
                                               &zero, p.x.get(), dx.data));
  }

  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch, int) override {
    const Prepared& p = prepared(x.shape.n);
    const bool is_term = spec_.type == DataType::bf16;  // cuDNN cannot add to fp32 then
    void* target = is_term ? scratch : packed_gradients;
    const float one = 1, beta = is_term ? 0.0F : 1.0F;
    NORMLAB_CHECK(cudnnConvolutionBackwardFilter(
        backend_.cudnn(), &one, p.x.get(), x.data, p.y.get(), dy.data, convolution_.get(), weights_algorithm_,
        room(scratch, p.weights), p.weights, &beta, w_.get(), target));
    if (is_term) {
      launch(add_filter_kernel, blocks(weights_), kThreads, 0, backend_.stream(), target, weights_,
             packed_gradients);
    }
    if (spec_.bias) backend_.add_channel_sums(dy, packed_gradients + weights_);
  }

 private:
  /// What depends on the number of samples.
  struct Prepared {
    int n = 0;
    TensorDescriptor x, y;
    std::size_t forward = 0, data = 0, weights = 0;  ///< bytes of workspace
  };

  [[nodiscard]] static unsigned blocks(int count) {
    return blocks_for(static_cast<std::size_t>(count), kThreads);
  }
  [[nodiscard]] int values_count() const { return weights_ + (spec_.bias ? out_ : 0); }
  /// The weights' gradient of one call, before it is added to the others.
  [[nodiscard]] std::size_t term_bytes() const {
    return spec_.type == DataType::bf16 ? aligned(static_cast<std::size_t>(weights_) * sizeof(Bf16)) : 0;
  }
  /// Workspace: what was booked, unless fewer samples want more than most do.
  [[nodiscard]] void* room(void* scratch, std::size_t bytes) {
    if (bytes > workspace_bytes_) return backend_.workspace(bytes);
    return static_cast<std::byte*>(scratch) + term_bytes();
  }

  const Prepared& prepared(int n) {
    for (const Prepared& p : prepared_) {
      if (p.n == n) return p;
    }
    Prepared p = described(n);
    NORMLAB_CHECK(ask(p, forward_, &p.forward));
    NORMLAB_CHECK(ask(p, weights_algorithm_, &p.weights));
    if (spec_.needs_dx) NORMLAB_CHECK(ask(p, data_, &p.data));
    return prepared_.emplace_back(std::move(p));
  }

  [[nodiscard]] Prepared described(int n) const {
    const Shape y = spec_.y();
    Prepared p;
    p.n = n;
    p.x = TensorDescriptor::make();
    NORMLAB_CHECK(
        cudnnSetTensor4dDescriptor(p.x.get(), CUDNN_TENSOR_NHWC, type_, n, in_, spec_.x.h, spec_.x.w));
    p.y = TensorDescriptor::make();
    NORMLAB_CHECK(cudnnSetTensor4dDescriptor(p.y.get(), CUDNN_TENSOR_NHWC, type_, n, out_, y.h, y.w));
    return p;
  }

  /// The workspace that an algorithm wants; fails where it cannot do this.
  cudnnStatus_t ask(const Prepared& p, cudnnConvolutionFwdAlgo_t algorithm, std::size_t* bytes) const {
    return cudnnGetConvolutionForwardWorkspaceSize(backend_.cudnn(), p.x.get(), w_.get(), convolution_.get(),
                                                   p.y.get(), algorithm, bytes);
  }
  cudnnStatus_t ask(const Prepared& p, cudnnConvolutionBwdDataAlgo_t algorithm, std::size_t* bytes) const {
    return cudnnGetConvolutionBackwardDataWorkspaceSize(backend_.cudnn(), w_.get(), p.y.get(),
                                                        convolution_.get(), p.x.get(), algorithm, bytes);
  }
  cudnnStatus_t ask(const Prepared& p, cudnnConvolutionBwdFilterAlgo_t algorithm, std::size_t* bytes) const {
    return cudnnGetConvolutionBackwardFilterWorkspaceSize(backend_.cudnn(), p.x.get(), p.y.get(),
                                                          convolution_.get(), w_.get(), algorithm, bytes);
  }

  /// "16x32x32-32k3s1p1", with the type where it is not fp32, and "first" where x needs no gradient.
  [[nodiscard]] std::string operation() const {
    return fmt::format("{}x{}x{}-{}k{}s{}p{}{}{}", spec_.x.c, spec_.x.h, spec_.x.w, spec_.out_channels,
                       spec_.kernel, spec_.stride, spec_.padding,
                       spec_.type == DataType::bf16 ? "-bf16"
                       : backend_.tf32()            ? "-tf32"
                                                    : "",
                       spec_.needs_dx ? "" : "-first");
  }

  /// The first of `candidates` that is offered for the largest batch, or, where the run has one already,
  /// that.
  template <typename Candidates>
  [[nodiscard]] int offered(const Prepared& p, const Candidates& candidates, int wanted) const {
    std::size_t bytes = 0;
    for (const auto candidate : candidates) {
      const bool is_wanted = wanted < 0 || wanted == static_cast<int>(candidate);
      if (is_wanted && ask(p, candidate, &bytes) == CUDNN_STATUS_SUCCESS) return static_cast<int>(candidate);
    }
    if (wanted < 0) {
      throw Error("cuDNN {} has no deterministic algorithm for the convolution {}", cudnnGetVersion(),
                  operation());
    }
    throw Error(
        "this run convolved {} by cuDNN's algorithm {}, which is not deterministic or which cuDNN {} does "
        "not offer "
        "here; go on where the run began, or begin a new one",
        operation(), wanted, cudnnGetVersion());
  }

  void choose() {
    const Prepared p = described(spec_.x.n);
    const auto find = [&](int forward, int data, int weights) {
      forward_ = static_cast<cudnnConvolutionFwdAlgo_t>(offered(p, kForward, forward));
      weights_algorithm_ = static_cast<cudnnConvolutionBwdFilterAlgo_t>(offered(p, kBackwardFilter, weights));
      if (spec_.needs_dx) {
        data_ = static_cast<cudnnConvolutionBwdDataAlgo_t>(offered(p, kBackwardData, data));
      }
    };
    const std::string text = backend_.algorithms_for(operation(), [&] {
      find(-1, -1, -1);
      return fmt::format("{}/{}/{}", static_cast<int>(forward_), static_cast<int>(data_),
                         static_cast<int>(weights_algorithm_));
    });
    int forward = 0, data = 0, weights = 0;
    if (std::sscanf(text.c_str(), "%d/%d/%d", &forward, &data, &weights) != 3) {
      throw Error("'{}' names no algorithms for the convolution {}", text, operation());
    }
    find(forward, data, weights);
  }

  CudaBackend& backend_;
  Conv2dSpec spec_;
  cudnnDataType_t type_;
  int in_, out_;  ///< padded
  FilterShape filter_;
  int weights_;  ///< padded
  FilterDescriptor w_;
  cudnnConvolutionFwdAlgo_t forward_ = kForward.front();
  cudnnConvolutionBwdDataAlgo_t data_ = kBackwardData.front();
  cudnnConvolutionBwdFilterAlgo_t weights_algorithm_ = kBackwardFilter.front();
  ConvolutionDescriptor convolution_;
  TensorDescriptor bias_;
  ActivationDescriptor identity_;
  std::vector<Prepared> prepared_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace

namespace {

class CudaConv2d final : public CudaKernels<Conv2dKernels> {
 public:
  using CudaKernels::CudaKernels;
  [[nodiscard]] std::unique_ptr<Conv2dPlan> plan(const Conv2dSpec& spec) override;
};

}  // namespace

std::unique_ptr<Conv2dPlan> CudaConv2d::plan(const Conv2dSpec& spec) {
  spec.check();
  return std::make_unique<CudnnConv2dPlan>(backend_, spec);
}

template <>
std::unique_ptr<Conv2dKernels> make_cuda_kernels<Conv2dKernels>(CudaBackend& backend) {
  return std::make_unique<CudaConv2d>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
