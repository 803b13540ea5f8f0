// 1x1 convolution: a matrix product of pixels and channels.

#include <algorithm>

#include "host/cpu/conv2d.hpp"
#include "host/cpu/gemm.hpp"

namespace normlab {

namespace {

/// y (pixels, out) = x (pixels, in) times w (in, out), plus bias; backward data is the same with w turned.
struct MultiplyPixels {
  template <typename Set>
  static NORMLAB_INLINE void run(const HostLayout& from, const HostLayout& to, int n, const float* x,
                                 const float* w, const float* bias, float* y) {
    const int out = to.padded_channels();
    for (int i = 0; i < n; ++i, x += from.sample, y += to.sample) {
      multiply<Set>({x, from.pixel, from.block}, static_cast<int>(from.pixels), from.blocks, w, out, out,
                    bias, [&](int pixel, int c, Native<Set> value) NORMLAB_INLINE_LAMBDA {
                      store_native<Set>(y + c / kLanes * to.block + pixel * to.pixel + c % kLanes, value);
                    });
    }
  }
};

/// dw (in, out) += x^T dy.
struct WeightGradient {
  template <typename Set>
  static NORMLAB_INLINE void run(const HostLayout& x_at, const HostLayout& y_at, int n, const float* x,
                                 const float* dy, float* dw) {
    for (int i = 0; i < n; ++i, x += x_at.sample, dy += y_at.sample) {
      multiply_outer<Set>({x, x_at.pixel, x_at.block}, x_at.blocks, {dy, y_at.pixel, y_at.block}, y_at.blocks,
                          static_cast<int>(x_at.pixels), dw, y_at.padded_channels(), false);
    }
  }
};

class PointwisePlan : public OwnConv2dPlan {
 public:
  PointwisePlan(const HostBackend& backend, const Conv2dSpec& spec)
      : OwnConv2dPlan(backend, spec, 1, padded(spec.x.c)),
        x_(spec.x, backend.blocked(spec.type)),
        y_(spec.y(), backend.blocked(spec.type)) {}

  /// Bias, (in, out) weights, (out, in) weights.
  [[nodiscard]] std::size_t packed_values() const override {
    return padded_bias() + area() * (spec().needs_dx ? 2 : 1);
  }
  [[nodiscard]] std::size_t scratch_bytes() const override { return 0; }

  void pack(const float* weight, const float* bias, float* packed) override {
    std::copy_n(taps(weight, false), area(), packed + padded_bias());
    if (spec().needs_dx) std::copy_n(taps(weight, true), area(), packed + padded_bias() + area());
    pack_bias(bias, packed);
  }
  void forward(Tensor x, const float* packed, Tensor y, void* /*scratch*/, int /*worker*/) override {
    kernel<MultiplyPixels>(x_, y_, x.shape.n, x.as<float>(), packed + padded_bias(),
                           spec().bias ? packed : nullptr, y.as<float>());
    clear_padding(y, y_);
  }
  void backward_data(Tensor dy, const float* packed, Tensor dx, void* /*scratch*/, int /*worker*/) override {
    kernel<MultiplyPixels>(y_, x_, dy.shape.n, dy.as<float>(), packed + padded_bias() + area(), nullptr,
                           dx.as<float>());
    clear_padding(dx, x_);
  }
  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* /*scratch*/,
                        int /*worker*/) override {
    kernel<WeightGradient>(x_, y_, x.shape.n, x.as<float>(), dy.as<float>(),
                           packed_gradients + padded_bias());
    add_bias_gradient(dy, packed_gradients);
  }

 private:
  HostLayout x_, y_;
};

}  // namespace

std::unique_ptr<Conv2dPlan> pointwise_plan(HostBackend& backend, const Conv2dSpec& spec) {
  if (spec.type == DataType::bf16) return nullptr;  // the library multiplies bf16 as it is, twice as fast
  if (spec.kernel != 1 || spec.stride != 1 || spec.padding != 0 || spec.x_layout != Layout::native)
    return nullptr;
  return std::make_unique<PointwisePlan>(backend, spec);
}

}  // namespace normlab
