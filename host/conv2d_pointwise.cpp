// 1x1 convolution: a matrix product of pixels and channels.

#include <algorithm>

#include "host/conv2d.hpp"
#include "host/gemm.hpp"

namespace normlab {

namespace {

constexpr int kChunk = 64;  ///< pixels that are converted at a time

/// Pixels of a sample as fp32: where they lie, or converted into `panel`, one row of all channels a pixel.
template <typename Set, typename T>
NORMLAB_INLINE Rows rows_of(const HostLayout& at, const T* sample, std::ptrdiff_t first, int count,
                            [[maybe_unused]] float* panel) {
  const T* data = sample + first * at.pixel;
  if constexpr (kDataType<T> == DataType::f32) {
    return {data, at.pixel, at.block};
  } else {
    const int channels = at.padded_channels();
    for (int pixel = 0; pixel < count; ++pixel) {
      for (int c = 0; c < channels; c += Set::kWidth) {
        store_native<Set>(panel + pixel * channels + c,
                          load_native<Set>(data + pixel * at.pixel + c / kLanes * at.block + c % kLanes));
      }
    }
    return {panel, channels, kLanes};
  }
}

/// Calls work(first pixel, count) for a sample's pixels, all at once if nothing has to be converted.
template <typename T, typename Work>
NORMLAB_INLINE void for_chunks(const HostLayout& at, Work&& work) {
  const int pixels = static_cast<int>(at.pixels);
  const int step = kDataType<T> == DataType::f32 ? pixels : kChunk;
  for (int first = 0; first < pixels; first += step) work(first, std::min(step, pixels - first));
}

/// y (pixels, out) = x (pixels, in) times w (in, out), plus bias; backward data is the same with w turned.
struct MultiplyPixels {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const HostLayout& from, const HostLayout& to, int n, const T* x,
                                 const float* w, const float* bias, T* y, float* panel) {
    const int out = to.padded_channels();
    for (int i = 0; i < n; ++i, x += from.sample, y += to.sample) {
      for_chunks<T>(from, [&](int first, int count) NORMLAB_INLINE_LAMBDA {
        T* to_pixel = y + first * to.pixel;
        multiply<Set>(rows_of<Set>(from, x, first, count, panel), count, from.blocks, w, out, out, bias,
                      [&](int pixel, int c, Native<Set> value) NORMLAB_INLINE_LAMBDA {
                        store_native<Set>(to_pixel + c / kLanes * to.block + pixel * to.pixel + c % kLanes,
                                          value);
                      });
      });
    }
  }
};

/// dw (in, out) += x^T dy.
struct WeightGradient {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const HostLayout& x_at, const HostLayout& y_at, int n, const T* x,
                                 const T* dy, float* dw, float* panel) {
    for (int i = 0; i < n; ++i, x += x_at.sample, dy += y_at.sample) {
      for_chunks<T>(x_at, [&](int first, int count) NORMLAB_INLINE_LAMBDA {
        multiply_outer<Set>(rows_of<Set>(x_at, x, first, count, panel), x_at.blocks,
                            rows_of<Set>(y_at, dy, first, count, panel + kChunk * x_at.padded_channels()),
                            y_at.blocks, count, dw, y_at.padded_channels(), false);
      });
    }
  }
};

class PointwisePlan : public OwnConv2dPlan {
 public:
  PointwisePlan(const HostBackend& backend, const Conv2dSpec& spec)
      : OwnConv2dPlan(backend, spec, 1),
        x_(spec.x, backend.blocked(spec.type)),
        y_(spec.y(), backend.blocked(spec.type)) {}

  /// Bias, (in, out) weights, (out, in) weights.
  [[nodiscard]] std::size_t packed_values() const override {
    return padded_bias() + area() * (spec().needs_dx ? 2 : 1);
  }
  [[nodiscard]] std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(kChunk) * static_cast<std::size_t>(in() + out()) * sizeof(float);
  }

  void pack(const float* weight, const float* bias, float* packed) override {
    std::copy_n(taps(weight, false), area(), packed + padded_bias());
    if (spec().needs_dx) std::copy_n(taps(weight, true), area(), packed + padded_bias() + area());
    pack_bias(bias, packed);
  }
  void forward(Tensor x, const float* packed, Tensor y, void* scratch, int /*worker*/) override {
    multiply_pixels(x_, y_, x, packed + padded_bias(), spec().bias ? packed : nullptr, y, scratch);
  }
  void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int /*worker*/) override {
    multiply_pixels(y_, x_, dy, packed + padded_bias() + area(), nullptr, dx, scratch);
  }
  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch,
                        int /*worker*/) override {
    with_storage(x.type, [&]<typename T>(Stored<T>) {
      kernel<WeightGradient>(x_, y_, x.shape.n, x.as<T>(), dy.as<T>(), packed_gradients + padded_bias(),
                             static_cast<float*>(scratch));
    });
    add_bias_gradient(dy, packed_gradients);
  }

 private:
  static void multiply_pixels(const HostLayout& from, const HostLayout& to, Tensor x, const float* w,
                              const float* bias, Tensor y, void* scratch) {
    with_storage(x.type, [&]<typename T>(Stored<T>) {
      kernel<MultiplyPixels>(from, to, x.shape.n, x.as<T>(), w, bias, y.as<T>(),
                             static_cast<float*>(scratch));
    });
  }

  HostLayout x_, y_;
};

}  // namespace

std::unique_ptr<Conv2dPlan> pointwise_plan(HostBackend& backend, const Conv2dSpec& spec) {
  if (spec.kernel != 1 || spec.stride != 1 || spec.padding != 0 || spec.x_layout != Layout::native)
    return nullptr;
  return std::make_unique<PointwisePlan>(backend, spec);
}

}  // namespace normlab
