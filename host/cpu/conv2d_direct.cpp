// Convolution by its definition, of any shape: every output is the sum of its own terms and of nothing else,
// so a NaN, an infinity or an outlier reaches just the outputs that its taps reach. A call copies each sample
// as floats into a map with zeros around it; then an output's taps are matrix products whose rows lie a
// stride apart.

#include <algorithm>
#include <vector>

#include "host/cpu/conv2d.hpp"
#include "host/cpu/gemm.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

/// Outputs first, first + step, ... along rows or columns: number q adds up the inputs at q * stride + shift.
struct Axis {
  struct Tap {
    int index, shift;
  };
  int first, step, count, stride;
  std::vector<Tap> taps;
};

/// y from x.
std::vector<Axis> forward_axes(const Conv2dSpec& spec, int y_size) {
  Axis axis{0, 1, y_size, spec.stride, {}};
  for (int k = 0; k < spec.kernel; ++k) axis.taps.push_back({k, k - spec.padding});
  return {axis};
}

/// dx from dy: input i is reached by the output (i + padding - k) / stride of each tap k where that is whole,
/// so inputs a stride apart have the same taps.
std::vector<Axis> backward_axes(const Conv2dSpec& spec, int x_size) {
  std::vector<Axis> axes;
  for (int first = 0; first < std::min(spec.stride, x_size); ++first) {
    Axis axis{first, spec.stride, (x_size - first + spec.stride - 1) / spec.stride, 1, {}};
    for (int k = (first + spec.padding) % spec.stride; k < spec.kernel; k += spec.stride) {
      axis.taps.push_back({k, (first + spec.padding - k) / spec.stride});  // whole, of either sign
    }
    axes.push_back(std::move(axis));
  }
  return axes;
}

/// A sample's map with the rows and columns around it that taps reach, as floats in blocks of 16 channels.
class PaddedMap {
 public:
  PaddedMap(Shape shape, bool blocked, const std::vector<Axis>& rows, const std::vector<Axis>& columns)
      : at_(shape, blocked),
        h_(shape.h),
        w_(shape.w),
        top_(before(rows)),
        left_(before(columns)),
        height_(top_ + after(rows, h_)),
        width_(left_ + after(columns, w_)) {}

  [[nodiscard]] int blocks() const { return at_.blocks; }
  [[nodiscard]] std::ptrdiff_t block() const { return std::ptrdiff_t{height_} * row(); }
  [[nodiscard]] std::ptrdiff_t row() const { return std::ptrdiff_t{width_} * kLanes; }
  [[nodiscard]] std::size_t floats() const { return as_size(at_.blocks * block()); }
  /// Of the sample's own pixel (i, j), which may lie outside.
  [[nodiscard]] std::ptrdiff_t place(int i, int j) const {
    return (top_ + i) * row() + std::ptrdiff_t{left_ + j} * kLanes;
  }

  template <typename Set, typename T>
  NORMLAB_INLINE void fill(const T* sample, float* to) const {
    std::fill_n(to, floats(), 0.0F);
    for (int b = 0; b < at_.blocks; ++b) {
      for (int i = 0; i < h_; ++i) {
        const T* from = sample + b * at_.block + std::ptrdiff_t{i} * w_ * at_.pixel;
        float* line = to + b * block() + place(i, 0);
        for (int j = 0; j < w_; ++j, from += at_.pixel, line += kLanes) store(line, load<Set>(from));
      }
    }
  }

  /// Channel planes one after the other, or pixels of all channels.
  template <typename T>
  void fill_image(const T* image, int channels, bool planar, float* to) const {
    std::fill_n(to, floats(), 0.0F);
    for (int c = 0; c < channels; ++c) {
      for (int i = 0; i < h_; ++i) {
        float* line = to + c / kLanes * block() + place(i, 0) + c % kLanes;
        for (int j = 0; j < w_; ++j) {
          const std::ptrdiff_t pixel = std::ptrdiff_t{i} * w_ + j;
          line[j * kLanes] =
              static_cast<float>(image[planar ? c * at_.pixels + pixel : pixel * channels + c]);
        }
      }
    }
  }

 private:
  static int before(const std::vector<Axis>& axes) {
    int most = 0;
    for (const Axis& axis : axes)
      for (const Axis::Tap& tap : axis.taps) most = std::max(most, -tap.shift);
    return most;
  }
  /// Rows from the first of the map itself on.
  static int after(const std::vector<Axis>& axes, int size) {
    int most = size;
    for (const Axis& axis : axes)
      for (const Axis::Tap& tap : axis.taps)
        most = std::max(most, (axis.count - 1) * axis.stride + tap.shift + 1);
    return most;
  }

  HostLayout at_;
  int h_, w_, top_, left_, height_, width_;
};

/// The outputs of one row axis and one column axis, which have the same taps.
struct Phase {
  Axis rows, columns;
  std::vector<std::ptrdiff_t> blocks;  ///< of each tap, from an output's own place in the padded map on
  std::vector<int> taps;
};

/// One direction of the convolution.
struct Pass {
  PaddedMap x;
  HostLayout y;
  int y_width;
  std::vector<Phase> phases;

  Pass(Shape from, Shape to, bool blocked, const std::vector<Axis>& rows, const std::vector<Axis>& columns,
       int kernel)
      : x(from, blocked, rows, columns), y(to, blocked), y_width(to.w) {
    for (const Axis& row : rows) {
      for (const Axis& column : columns) {
        Phase phase{row, column, {}, {}};
        for (const Axis::Tap& i : row.taps) {
          for (const Axis::Tap& j : column.taps) {
            phase.taps.push_back(i.index * kernel + j.index);
            for (int b = 0; b < x.blocks(); ++b)
              phase.blocks.push_back(b * x.block() + x.place(i.shift, j.shift));
          }
        }
        phases.push_back(std::move(phase));
      }
    }
  }
};

/// Blocks of 16 terms that are added up before they are added to the rest: beside an outlier each addition
/// rounds by its size, so there should be few.
constexpr int kBlocksOfASum = 2;

/// One sample; w: for each phase its taps' (in, out) matrices; sums: of a row of outputs.
struct Convolve {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const Pass& pass, const float* x, const float* w, const float* bias, T* y,
                                 float* sums) {
    const int out = pass.y.padded_channels();
    for (const Phase& phase : pass.phases) {
      const Axis &rows = phase.rows, &columns = phase.columns;
      const int blocks = static_cast<int>(phase.blocks.size());
      for (int q = 0; q < rows.count; ++q) {
        T* to =
            y + (std::ptrdiff_t{rows.first + q * rows.step} * pass.y_width + columns.first) * pass.y.pixel;
        int first = 0;
        do {  // once, too, where no tap reaches
          const int count = std::min(kBlocksOfASum, blocks - first);
          const bool begins = first == 0, ends = first + count == blocks;
          multiply<Set>(ScatteredRows{x + q * rows.stride * pass.x.row(), columns.stride * kLanes,
                                      phase.blocks.data() + first},
                        columns.count, count, w + std::ptrdiff_t{first} * kLanes * out, out, out,
                        begins ? bias : nullptr,
                        [&](int pixel, int c, Native<Set> value) NORMLAB_INLINE_LAMBDA {
                          float* sum = sums + std::ptrdiff_t{pixel} * out + c;
                          if (!begins) value += load_native<Set>(sum);
                          if (!ends) {
                            store_native<Set>(sum, value);
                          } else {
                            store_native<Set>(to + pixel * columns.step * pass.y.pixel +
                                                  c / kLanes * pass.y.block + c % kLanes,
                                              value);
                          }
                        });
          first += count;
        } while (first < blocks);
      }
      w += std::ptrdiff_t{blocks} * kLanes * out;
    }
  }
};

/// dw (taps, in, out) += that of one sample, whose own sum `sum` holds meanwhile: short sums round less.
struct KernelGradient {
  template <typename Set>
  static NORMLAB_INLINE void run(const Pass& pass, const float* x, const PaddedMap& map, const float* dy,
                                 float* sum, float* dw) {
    const int in = pass.x.blocks() * kLanes, out = pass.y.padded_channels();
    const Phase& phase = pass.phases.front();
    const std::ptrdiff_t area = std::ptrdiff_t{in} * out;
    for (std::size_t tap = 0; tap < phase.taps.size(); ++tap, dw += area) {
      const float* rows = x + phase.blocks[tap * as_size(pass.x.blocks())];
      for (int i = 0; i < phase.rows.count; ++i) {
        multiply_outer<Set>(
            {rows + i * phase.rows.stride * pass.x.row(), phase.columns.stride * kLanes, pass.x.block()},
            pass.x.blocks(), {dy + map.place(i, 0), kLanes, map.block()}, map.blocks(), phase.columns.count,
            sum, out, i == 0);
      }
      for (std::ptrdiff_t k = 0; k < area; ++k) dw[k] += sum[k];
    }
  }
};

struct Fill {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const PaddedMap& map, const T* sample, float* to) {
    map.fill<Set>(sample, to);
  }
};

class DirectPlan : public OwnConv2dPlan {
 public:
  DirectPlan(const HostBackend& backend, const Conv2dSpec& spec)
      : OwnConv2dPlan(backend, spec, spec.kernel * spec.kernel, padded(spec.x.c)),
        x_(spec.x, backend.blocked(spec.type)),
        y_(spec.y(), backend.blocked(spec.type)),
        planar_(backend.blocked(spec.type)),
        forward_(spec.x, spec.y(), planar_, forward_axes(spec, spec.y().h), forward_axes(spec, spec.y().w),
                 spec.kernel),
        backward_(spec.y(), spec.x, planar_, backward_axes(spec, spec.x.h), backward_axes(spec, spec.x.w),
                  spec.kernel) {}

  /// Bias, then the forward taps, then the backward ones in the order of their phases.
  [[nodiscard]] std::size_t packed_values() const override {
    return padded_bias() + area() * taps() * (spec().needs_dx ? 2 : 1);
  }
  [[nodiscard]] std::size_t scratch_bytes() const override {
    return (forward_.x.floats() + backward_.x.floats() + std::max(area(), row_floats())) * sizeof(float);
  }

  void pack(const float* weight, const float* bias, float* packed) override {
    float* to = std::copy_n(OwnConv2dPlan::taps(weight, false), area() * taps(), packed + padded_bias());
    pack_bias(bias, packed);
    if (!spec().needs_dx) return;
    const float* turned = OwnConv2dPlan::taps(weight, true);  // the last tap first
    for (const Phase& phase : backward_.phases) {
      for (const int tap : phase.taps)
        to = std::copy_n(turned + (taps() - 1 - as_size(tap)) * area(), area(), to);
    }
  }

  void forward(Tensor x, const float* packed, Tensor y, void* scratch, int /*worker*/) override {
    auto* map = static_cast<float*>(scratch);
    for (int n = 0; n < x.shape.n; ++n) {
      fill_input(x, n, map);
      convolve(forward_, map, packed + padded_bias(), spec().bias ? packed : nullptr, y, n * y_.sample,
               map + forward_.x.floats());
    }
    clear_padding(y, y_);
  }
  void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int /*worker*/) override {
    auto* map = static_cast<float*>(scratch);
    for (int n = 0; n < dy.shape.n; ++n) {
      fill_gradient(dy, n, map);
      convolve(backward_, map, packed + padded_bias() + area() * taps(), nullptr, dx, n * x_.sample,
               map + backward_.x.floats());
    }
    clear_padding(dx, x_);
  }
  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch,
                        int /*worker*/) override {
    auto* input = static_cast<float*>(scratch);
    float *gradient = input + forward_.x.floats(), *sum = gradient + backward_.x.floats();
    for (int n = 0; n < x.shape.n; ++n) {
      fill_input(x, n, input);
      fill_gradient(dy, n, gradient);
      kernel<KernelGradient>(forward_, input, backward_.x, gradient, sum, packed_gradients + padded_bias());
    }
    add_bias_gradient(dy, packed_gradients);
  }

 private:
  [[nodiscard]] std::size_t taps() const { return as_size(spec().kernel * spec().kernel); }

  /// Of the longest row of sums, forward or back.
  [[nodiscard]] std::size_t row_floats() const {
    return as_size(std::max(spec().y().w * y_.padded_channels(), spec().x.w * x_.padded_channels()));
  }

  void fill_input(const Tensor& x, int n, float* map) const {
    with_storage(x.type, [&]<typename T>(Stored<T>) {
      if (spec().x_layout == Layout::image) {
        const auto image = static_cast<std::ptrdiff_t>(spec().x.per_sample());
        forward_.x.fill_image(x.as<T>() + n * image, spec().x.c, planar_, map);
      } else {
        kernel<Fill>(forward_.x, x.as<T>() + n * x_.sample, map);
      }
    });
  }
  void fill_gradient(const Tensor& dy, int n, float* map) const {
    with_storage(dy.type,
                 [&]<typename T>(Stored<T>) { kernel<Fill>(backward_.x, dy.as<T>() + n * y_.sample, map); });
  }
  static void convolve(const Pass& pass, const float* map, const float* w, const float* bias, Tensor y,
                       std::ptrdiff_t sample, float* sums) {
    with_storage(y.type, [&]<typename T>(Stored<T>) {
      kernel<Convolve>(pass, map, w, bias, y.as<T>() + sample, sums);
    });
  }

  HostLayout x_, y_;
  bool planar_;
  Pass forward_, backward_;
};

}  // namespace

std::unique_ptr<Conv2dPlan> direct_plan(HostBackend& backend, const Conv2dSpec& spec) {
  return std::make_unique<DirectPlan>(backend, spec);
}

}  // namespace normlab
