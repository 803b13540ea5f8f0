// A network's first 3x3 convolution, from few channels (padding them to 16 would waste most of the work).
// Samples are copied into zero-padded planes; then each input value is a scalar that multiplies 16 output
// channels.

#include <algorithm>

#include "host/cpu/conv2d.hpp"
#include "host/cpu/gemm.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

/// A sample's channels as planes with the padding around them.
struct Planes {
  int channels, h, w, padding, out_h, out_w;
  std::ptrdiff_t row, plane;  ///< floats

  Planes(const Conv2dSpec& spec)
      : channels(spec.x.c),
        h(spec.x.h),
        w(spec.x.w),
        padding(spec.padding),
        out_h(spec.y().h),
        out_w(spec.y().w),
        row(w + 2 * padding),
        plane((h + 2 * padding) * row) {}

  /// x: planes one after the other, or pixels of all channels.
  template <typename T>
  void fill(const T* x, bool planar, float* to) const {
    std::fill_n(to, plane * channels, 0.0F);
    for (int c = 0; c < channels; ++c) {
      for (int i = 0; i < h; ++i) {
        float* line = to + c * plane + (i + padding) * row + padding;
        if (planar) {
          const T* from = x + (static_cast<std::ptrdiff_t>(c) * h + i) * w;
          for (int j = 0; j < w; ++j) line[j] = static_cast<float>(from[j]);
        } else {
          for (int j = 0; j < w; ++j) {
            line[j] = static_cast<float>(x[(static_cast<std::ptrdiff_t>(i) * w + j) * channels + c]);
          }
        }
      }
    }
  }
};

/// R output pixels of a row, one register of channels.
template <typename Set, int R, typename T>
NORMLAB_INLINE void convolve_pixels(const Planes& planes, const float* x, const float* w, int out,
                                    Native<Set> bias, T* y, std::ptrdiff_t pixel) {
  Native<Set> sum[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sum[r] = bias;
  for (int c = 0; c < planes.channels; ++c) {
    for (int i = 0; i < 3; ++i) {
      const float* line = x + c * planes.plane + i * planes.row;
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j, w += out) {
        const Native<Set> weight = load_native<Set>(w);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) sum[r] += line[r + j] * weight;
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) store_native<Set>(y + r * pixel, sum[r]);
}

struct ConvolveImage {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const Planes& planes, const float* x, const float* w, const float* bias,
                                 const HostLayout& at, T* y) {
    constexpr int kPixels = Set::kRegisters / 2;
    const int out = at.padded_channels();
    for (int channel = 0; channel < out; channel += Set::kWidth) {
      const Native<Set> b = bias == nullptr ? Native<Set>{} : load_native<Set>(bias + channel);
      for (int i = 0; i < planes.out_h; ++i) {
        const float* line = x + i * planes.row;
        T* to = y + channel / kLanes * at.block + channel % kLanes +
                static_cast<std::ptrdiff_t>(i) * planes.out_w * at.pixel;
        int j = 0;
        for (; j + kPixels <= planes.out_w; j += kPixels) {
          convolve_pixels<Set, kPixels>(planes, line + j, w + channel, out, b, to + j * at.pixel, at.pixel);
        }
        for (; j < planes.out_w; ++j) {
          convolve_pixels<Set, 1>(planes, line + j, w + channel, out, b, to + j * at.pixel, at.pixel);
        }
      }
    }
  }
};

/// dw of the nine taps of C channels += sum over pixels, one register of output channels.
template <typename Set, int C, typename T>
NORMLAB_INLINE void gradient_of_taps(const Planes& planes, const float* x, const T* dy, std::ptrdiff_t pixel,
                                     int out, float* dw) {
  const std::ptrdiff_t row = planes.row;
  const int rows = std::max(1, kOuterRun / planes.out_w);
  for (int first = 0; first < planes.out_h; first += rows) {
    Native<Set> sum[C * 9] = {};
    for (int i = first; i < std::min(planes.out_h, first + rows); ++i) {
      const float* corner[C];
      for (int c = 0; c < C; ++c) corner[c] = x + c * planes.plane + i * row;
      for (int j = 0; j < planes.out_w; ++j, dy += pixel) {
        // Left alone, the compiler keeps a pointer for each tap, and most of them in memory.
        for (int c = 0; c < C; ++c) asm("" : "+r"(corner[c]));
        const Native<Set> gradient = load_native<Set>(dy);
#pragma GCC unroll 27
        for (int tap = 0; tap < C * 9; ++tap) {
          sum[tap] += corner[tap / 9][tap / 3 % 3 * row + tap % 3] * gradient;
        }
        for (int c = 0; c < C; ++c) ++corner[c];
      }
    }
#pragma GCC unroll 27
    for (int tap = 0; tap < C * 9; ++tap) {
      store_native<Set>(dw + tap * out, load_native<Set>(dw + tap * out) + sum[tap]);
    }
  }
}

struct ImageGradient {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const Planes& planes, const float* x, const HostLayout& at, const T* dy,
                                 float* dw) {
    constexpr int kChannels = Set::kRegisters >= 32 ? 3 : 1;
    const int out = at.padded_channels();
    for (int channel = 0; channel < out; channel += Set::kWidth) {
      const T* gradient = dy + channel / kLanes * at.block + channel % kLanes;
      int c = 0;
      for (; c + kChannels <= planes.channels; c += kChannels) {
        gradient_of_taps<Set, kChannels>(planes, x + c * planes.plane, gradient, at.pixel, out,
                                         dw + channel + c * 9 * out);
      }
      for (; c < planes.channels; ++c) {
        gradient_of_taps<Set, 1>(planes, x + c * planes.plane, gradient, at.pixel, out,
                                 dw + channel + c * 9 * out);
      }
    }
  }
};

class ImagePlan : public OwnConv2dPlan {
 public:
  ImagePlan(const HostBackend& backend, const Conv2dSpec& spec)
      : OwnConv2dPlan(backend, spec, 9, spec.x.c),
        planes_(spec),
        y_(spec.y(), backend.blocked(spec.type)),
        planar_(backend.blocked(spec.type)) {}

  [[nodiscard]] std::size_t packed_values() const override { return packed_gradients(); }
  [[nodiscard]] std::size_t scratch_bytes() const override {
    return as_size(planes_.plane * planes_.channels) * sizeof(float);
  }

  /// Bias, then (in, taps, out): what one output pixel needs lies together.
  void pack(const float* weight, const float* bias, float* packed) override {
    const float* from = taps(weight, false);
    for (int tap = 0; tap < 9; ++tap) {
      for (int c = 0; c < in(); ++c, from += out()) {
        std::copy_n(from, out(), packed + padded_bias() + static_cast<std::ptrdiff_t>(c * 9 + tap) * out());
      }
    }
    pack_bias(bias, packed);
  }
  void unpack(const float* packed_gradients, float* dweight, float* dbias) override {
    const float* from = packed_gradients + padded_bias();
    for (int o = 0; o < spec().out_channels; ++o) {
      for (int tap = 0; tap < in() * 9; ++tap) *dweight++ = from[tap * out() + o];
    }
    if (spec().bias) std::copy_n(packed_gradients, spec().out_channels, dbias);
  }

  void forward(Tensor x, const float* packed, Tensor y, void* scratch, int /*worker*/) override {
    for (int n = 0; n < x.shape.n; ++n) {
      const float* planes = sample(x, n, scratch);
      with_storage(y.type, [&]<typename T>(Stored<T>) {
        kernel<ConvolveImage>(planes_, planes, packed + padded_bias(), spec().bias ? packed : nullptr, y_,
                              y.as<T>() + n * y_.sample);
      });
    }
    clear_padding(y, y_);
  }
  void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int worker) override;
  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch,
                        int /*worker*/) override {
    for (int n = 0; n < x.shape.n; ++n) {
      const float* planes = sample(x, n, scratch);
      with_storage(dy.type, [&]<typename T>(Stored<T>) {
        kernel<ImageGradient>(planes_, planes, y_, dy.as<T>() + n * y_.sample,
                              packed_gradients + padded_bias());
      });
    }
    add_bias_gradient(dy, packed_gradients);
  }

 private:
  [[nodiscard]] const float* sample(Tensor x, int n, void* scratch) const {
    auto* to = static_cast<float*>(scratch);
    with_storage(x.type, [&]<typename T>(Stored<T>) {
      planes_.fill(x.as<T>() + n * static_cast<std::ptrdiff_t>(spec().x.per_sample()), planar_, to);
    });
    return to;
  }

  Planes planes_;
  HostLayout y_;
  bool planar_;
};

void ImagePlan::backward_data(Tensor /*dy*/, const float* /*packed*/, Tensor /*dx*/, void* /*scratch*/,
                              int /*worker*/) {
  throw Error("conv2d: the gradient of an image was not planned for");
}

}  // namespace

std::unique_ptr<Conv2dPlan> image_plan(HostBackend& backend, const Conv2dSpec& spec) {
  const bool own = spec.kernel == 3 && spec.stride == 1 && spec.x_layout == Layout::image && !spec.needs_dx;
  return own ? std::make_unique<ImagePlan>(backend, spec) : nullptr;
}

}  // namespace normlab
