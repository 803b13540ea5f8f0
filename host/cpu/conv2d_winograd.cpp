// 3x3 convolution with stride 1 by Winograd's F(4x4, 3x3). A call walks over its samples' tiles in groups:
// the transformed tiles of a group, their products with the 36 transformed kernels, and the results stay in
// the second-level cache. The 36 products are small matrix products: (tiles, channels in) times (in, out).

#include <algorithm>
#include <vector>

#include "host/cpu/conv2d.hpp"
#include "host/cpu/onednn.hpp"
#include "host/cpu/winograd.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

using namespace winograd;

constexpr int kGroup = 16;  ///< tiles

/// One direction of the convolution: what is read, what is written, and where a group's tiles go.
struct Pass {
  HostLayout x, y;
  int h, w, out_h, out_w, padding;
  const std::byte* zeros;  ///< kInput pixels of them

  Pass(Shape from, Shape to, int pad, bool blocked, const Buffer& no_row)
      : x(from, blocked),
        y(to, blocked),
        h(from.h),
        w(from.w),
        out_h(to.h),
        out_w(to.w),
        padding(pad),
        zeros(no_row.data()) {}

  [[nodiscard]] int tile_rows() const { return (out_h + kOutput - 1) / kOutput; }
  [[nodiscard]] int tile_columns() const { return (out_w + kOutput - 1) / kOutput; }
  [[nodiscard]] int tiles() const { return tile_rows() * tile_columns(); }
};

/// Floats between the points of a group's tiles. Not a power of two: 36 points would share few cache sets.
std::ptrdiff_t step_of(const HostLayout& at) {
  return static_cast<std::ptrdiff_t>(kGroup) * at.padded_channels() + kLanes;
}
std::size_t group_floats(const HostLayout& at) {
  return as_size(step_of(at)) * kPoints;
}

/// A tile's place in the batch.
struct Place {
  int n, row, column;

  Place(const Pass& pass, int tile)
      : n(tile / pass.tiles()),
        row(tile % pass.tiles() / pass.tile_columns()),
        column(tile % pass.tile_columns()) {}
  void next(const Pass& pass) {
    if (++column < pass.tile_columns()) return;
    column = 0;
    if (++row < pass.tile_rows()) return;
    row = 0;
    ++n;
  }
};

/// Rows and columns [begin, end) of a kSize x kSize tile that lie in a map.
template <int kSize>
struct Window {
  int top, left, row_begin, row_end, column_begin, column_end;

  Window(int top_, int left_, int h, int w)
      : top(top_),
        left(left_),
        row_begin(std::max(0, -top)),
        row_end(std::min(kSize, h - top)),
        column_begin(std::max(0, -left)),
        column_end(std::min(kSize, w - left)) {}
  [[nodiscard]] bool whole() const {
    return row_begin == 0 && column_begin == 0 && row_end == kSize && column_end == kSize;
  }
};

/// The tile of a map where it lies, or a copy with zeros for what is outside.
template <typename Set, int kSize, typename T>
NORMLAB_INLINE Tile<const T> read_tile(const T* map, std::ptrdiff_t pixel, int w, const Window<kSize>& in,
                                       T* copy) {
  const T* first = map + (static_cast<std::ptrdiff_t>(in.top) * w + in.left) * pixel;
  if (in.whole()) return {first, pixel, w * pixel};
  constexpr int kWidth = Set::kWidth;
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; ++j) {
      const bool inside = i >= in.row_begin && i < in.row_end && j >= in.column_begin && j < in.column_end;
      T* to = copy + (i * kSize + j) * kWidth;
      store_native<Set>(to, inside
                                ? load_native<Set>(first + (static_cast<std::ptrdiff_t>(i) * w + j) * pixel)
                                : Native<Set>{});
    }
  }
  return {copy, kWidth, kSize * kWidth};
}

/// Most tiles at a map's border lack just a first or last column or some rows; others are copied.
template <typename Set, typename T>
NORMLAB_INLINE void transform_one_input(const Pass& pass, const T* map, const Window<kInput>& in, float* v) {
  constexpr int kWidth = Set::kWidth;
  const std::ptrdiff_t pixel = pass.x.pixel, step = step_of(pass.x);
  TileRows<T> rows;
  if (in.column_begin > 1 || in.column_end < kInput - 1) {
    alignas(64) T copy[kPoints * kWidth];
    const Tile<const T> tile = read_tile<Set>(map, pixel, pass.w, in, copy);
    for (int i = 0; i < kInput; ++i) rows.row[i] = tile.data + i * tile.row;
    rows.pixel = tile.pixel;
    transform_input<Set, true, true>(rows, v, step);
    return;
  }
  const T* first = map + (static_cast<std::ptrdiff_t>(in.top) * pass.w + in.left) * pixel;
  for (int i = 0; i < kInput; ++i, first += pass.w * pixel) {
    rows.row[i] = i >= in.row_begin && i < in.row_end ? first : reinterpret_cast<const T*>(pass.zeros);
  }
  rows.pixel = pixel;
  if (in.column_begin == 0) {
    in.column_end == kInput ? transform_input<Set, true, true>(rows, v, step)
                            : transform_input<Set, true, false>(rows, v, step);
  } else {
    in.column_end == kInput ? transform_input<Set, false, true>(rows, v, step)
                            : transform_input<Set, false, false>(rows, v, step);
  }
}

template <typename Set, typename T>
NORMLAB_INLINE void transform_inputs(const Pass& pass, const T* x, int first, int count, float* v) {
  Place place(pass, first);
  for (int tile = 0; tile < count; ++tile, place.next(pass)) {
    const Window<kInput> in(place.row * kOutput - pass.padding, place.column * kOutput - pass.padding, pass.h,
                            pass.w);
    for (int block = 0; block < pass.x.blocks; ++block) {
      for (int part = 0; part < kLanes; part += Set::kWidth) {
        const T* map = x + place.n * pass.x.sample + block * pass.x.block + part;
        transform_one_input<Set>(pass, map, in, v + tile * pass.x.padded_channels() + block * kLanes + part);
      }
    }
  }
}

template <typename Set, typename T>
NORMLAB_INLINE void transform_outputs(const Pass& pass, const float* m, int first, int count,
                                      const float* bias, T* y) {
  constexpr int kWidth = Set::kWidth;
  alignas(64) T copy[kOutput * kOutput * kWidth];
  Place place(pass, first);
  for (int tile = 0; tile < count; ++tile, place.next(pass)) {
    const Window<kOutput> out(place.row * kOutput, place.column * kOutput, pass.out_h, pass.out_w);
    for (int block = 0; block < pass.y.blocks; ++block) {
      for (int part = 0; part < kLanes; part += kWidth) {
        const int channel = block * kLanes + part;
        T* to = y + place.n * pass.y.sample + block * pass.y.block + part +
                (static_cast<std::ptrdiff_t>(out.top) * pass.out_w + out.left) * pass.y.pixel;
        const float* from = m + tile * pass.y.padded_channels() + channel;
        const Native<Set> b = bias == nullptr ? Native<Set>{} : load_native<Set>(bias + channel);
        const std::ptrdiff_t row = pass.out_w * pass.y.pixel;
        if (out.whole()) {
          transform_output<Set>(from, step_of(pass.y), b, Tile<T>{to, pass.y.pixel, row});
          continue;
        }
        transform_output<Set>(from, step_of(pass.y), b, Tile<T>{copy, kWidth, kOutput * kWidth});
        for (int i = 0; i < out.row_end; ++i) {
          for (int j = 0; j < out.column_end; ++j) {
            store_native<Set>(to + i * row + j * pass.y.pixel,
                              load_native<Set>(copy + (i * kOutput + j) * kWidth));
          }
        }
      }
    }
  }
}

/// y = x * kernels (+ bias) for n samples; u: kernels transformed, (36, in, out).
struct Convolve {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const Pass& pass, int n, const T* x, const float* u, const float* bias, T* y,
                                 float* scratch) {
    const int in = pass.x.padded_channels(), out = pass.y.padded_channels();
    float *v = scratch, *m = scratch + group_floats(pass.x);
    const int all = n * pass.tiles();
    for (int first = 0; first < all; first += kGroup) {
      const int count = std::min(kGroup, all - first);
      transform_inputs<Set>(pass, x, first, count, v);
      for (int point = 0; point < kPoints; ++point) {
        float* product = m + point * step_of(pass.y);
        multiply<Set>({v + point * step_of(pass.x), in, kLanes}, count, pass.x.blocks,
                      u + static_cast<std::ptrdiff_t>(point) * in * out, out, out, nullptr,
                      [&](int row, int column, Native<Set> value)
                          NORMLAB_INLINE_LAMBDA { store_native<Set>(product + row * out + column, value); });
      }
      transform_outputs<Set>(pass, m, first, count, bias, y);
    }
  }
};

/// du (36, in, out) of n samples, then its inverse transform is added to dg (9, in, out).
struct KernelGradient {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const Pass& pass, int n, const T* x, const T* dy, float* dg,
                                 float* scratch) {
    constexpr int kWidth = Set::kWidth;
    const int in = pass.x.padded_channels(), out = pass.y.padded_channels();
    float *v = scratch, *d = v + group_floats(pass.x), *du = d + group_floats(pass.y);
    const int all = n * pass.tiles();
    alignas(64) T copy[kOutput * kOutput * kWidth];
    for (int first = 0; first < all; first += kGroup) {
      const int count = std::min(kGroup, all - first);
      transform_inputs<Set>(pass, x, first, count, v);
      Place place(pass, first);
      for (int tile = 0; tile < count; ++tile, place.next(pass)) {
        const Window<kOutput> at(place.row * kOutput, place.column * kOutput, pass.out_h, pass.out_w);
        for (int block = 0; block < pass.y.blocks; ++block) {
          for (int part = 0; part < kLanes; part += kWidth) {
            const T* map = dy + place.n * pass.y.sample + block * pass.y.block + part;
            transform_gradient<Set>(read_tile<Set>(map, pass.y.pixel, pass.out_w, at, copy),
                                    d + tile * out + block * kLanes + part, step_of(pass.y));
          }
        }
      }
      for (int point = 0; point < kPoints; ++point) {
        multiply_outer<Set>({v + point * step_of(pass.x), in, kLanes}, pass.x.blocks,
                            {d + point * step_of(pass.y), out, kLanes}, pass.y.blocks, count,
                            du + static_cast<std::ptrdiff_t>(point) * in * out, out, first == 0);
      }
    }
    const std::ptrdiff_t area = static_cast<std::ptrdiff_t>(in) * out;
    for (std::ptrdiff_t i = 0; i < area; i += kWidth) add_kernel_gradient<Set>(du + i, area, dg + i, area);
  }
};

struct TransformKernels {
  template <typename Set>
  static NORMLAB_INLINE void run(const float* g, std::ptrdiff_t area, float* u) {
    for (std::ptrdiff_t i = 0; i < area; i += Set::kWidth) transform_kernel<Set>(g + i, area, u + i, area);
  }
};

class WinogradPlan : public OwnConv2dPlan {
 public:
  WinogradPlan(HostBackend& backend, const Conv2dSpec& spec)
      : OwnConv2dPlan(backend, spec, 9, padded(spec.x.c)),
        zeros_(backend, kInput * sizeof(float) * as_size(std::max(in(), out()))),
        forward_(spec.x, spec.y(), spec.padding, backend.blocked(spec.type), zeros_),
        backward_(spec.y(), spec.x, 2 - spec.padding, backend.blocked(spec.type), zeros_) {}

  [[nodiscard]] std::size_t packed_values() const override {
    return area() * kPoints * (spec().needs_dx ? 2 : 1) + padded_bias();
  }
  [[nodiscard]] std::size_t scratch_bytes() const override {
    return (group_floats(forward_.x) + group_floats(forward_.y) + area() * kPoints) * sizeof(float);
  }

  void pack(const float* weight, const float* bias, float* packed) override {
    kernel<TransformKernels>(taps(weight, false), static_cast<std::ptrdiff_t>(area()),
                             packed + padded_bias());
    if (spec().needs_dx) {
      kernel<TransformKernels>(taps(weight, true), static_cast<std::ptrdiff_t>(area()),
                               packed + padded_bias() + area() * kPoints);
    }
    pack_bias(bias, packed);
  }

  void forward(Tensor x, const float* packed, Tensor y, void* scratch, int /*worker*/) override {
    convolve(forward_, x, packed + padded_bias(), spec().bias ? packed : nullptr, y, scratch);
  }
  void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int /*worker*/) override {
    convolve(backward_, dy, packed + padded_bias() + area() * kPoints, nullptr, dx, scratch);
  }
  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch,
                        int /*worker*/) override {
    with_storage(x.type, [&]<typename T>(Stored<T>) {
      kernel<KernelGradient>(forward_, x.shape.n, x.as<T>(), dy.as<T>(), packed_gradients + padded_bias(),
                             static_cast<float*>(scratch));
    });
    add_bias_gradient(dy, packed_gradients);
  }

 private:
  static void convolve(const Pass& pass, Tensor x, const float* u, const float* bias, Tensor y,
                       void* scratch) {
    with_storage(x.type, [&]<typename T>(Stored<T>) {
      kernel<Convolve>(pass, x.shape.n, x.as<T>(), u, bias, y.as<T>(), static_cast<float*>(scratch));
    });
    clear_padding(y, pass.y);
  }

  Buffer zeros_;
  Pass forward_, backward_;
};

}  // namespace

std::unique_ptr<Conv2dPlan> winograd_plan(HostBackend& backend, const Conv2dSpec& spec) {
  // AMX multiplies bf16 sixteen times as fast as AVX-512 multiplies floats: no algorithm makes up for that.
  if (spec.type == DataType::bf16 && onednn::has_amx()) return nullptr;
  if (spec.kernel != 3 || spec.stride != 1 || spec.padding > 2 || spec.x_layout != Layout::native)
    return nullptr;
  return std::make_unique<WinogradPlan>(backend, spec);
}

}  // namespace normlab
