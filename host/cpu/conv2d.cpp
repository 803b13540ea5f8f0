#include "host/cpu/conv2d.hpp"

#include <algorithm>

#include "host/cpu/gemm.hpp"
#include "host/cpu/host_kernels.hpp"
#include "host/cpu/sums.hpp"
#include "layers/as_size.hpp"
#include "layers/kernels/conv2d.hpp"

namespace normlab {

namespace {

struct SumPixels {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(const T* dy, const HostLayout& at, int n, float* sum) {
    for (int block = 0; block < at.blocks; ++block) {
      double total[1][kLanes] = {};
      for (int i = 0; i < n; ++i) {
        add_shifted<Set>(Map<T>{dy + i * at.sample + block * at.block, at.pixels, at.pixel}, zero<Set>(),
                         total);
      }
      for (int c = 0; c < kLanes; ++c) sum[block * kLanes + c] += static_cast<float>(total[0][c]);
    }
  }
};

/// Of a block, the first `channels` of 16.
struct KeepChannels {
  template <typename Set, typename T>
  static NORMLAB_INLINE void run(T* block, const HostLayout& at, int n, int channels) {
    alignas(64) float kept[kLanes] = {};
    std::fill_n(kept, channels, 1.0F);
    const Mask<Set> mask = load<Set>(kept) > zero<Set>();
    for (int i = 0; i < n; ++i, block += at.sample) {
      T* pixel = block;
      for (std::ptrdiff_t p = 0; p < at.pixels; ++p, pixel += at.pixel)
        store(pixel, select(mask, load<Set>(pixel), zero<Set>()));
    }
  }
};

class HostConv2d final : public HostKernels<Conv2dKernels> {
 public:
  using HostKernels::HostKernels;
  [[nodiscard]] std::unique_ptr<Conv2dPlan> plan(const Conv2dSpec& spec) override;
};

}  // namespace

void clear_padding(const Tensor& map, const HostLayout& at) {
  const int channels = map.shape.c % kLanes;
  if (channels == 0) return;
  with_storage(map.type, [&]<typename T>(Stored<T>) {
    kernel<KeepChannels>(map.as<T>() + (at.blocks - 1) * at.block, at, map.shape.n, channels);
  });
}

OwnConv2dPlan::OwnConv2dPlan(const HostBackend& backend, const Conv2dSpec& spec, int taps, int in)
    : spec_(spec),
      y_(spec.y(), backend.blocked(spec.type)),
      taps_(taps),
      in_(in),
      out_(padded(spec.out_channels)),
      storage_(area() * as_size(taps) + kLanes) {
  const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
  staging_ = storage_.data() + (64 - address % 64) % 64 / sizeof(float);
}

const float* OwnConv2dPlan::taps(const float* weight, bool turned) {
  // Either form has the same size; its padding stays zero only if the two are not mixed.
  if (in_ != spec_.x.c || out_ != spec_.out_channels) std::fill(storage_.begin(), storage_.end(), 0.0F);
  const int rows = turned ? spec_.out_channels : spec_.x.c, columns = turned ? spec_.x.c : spec_.out_channels;
  const int width = turned ? in_ : out_;
  // Weights are (out, in, taps). What is written lies together: that took half the time of reading in order.
  const std::ptrdiff_t in_step = taps_, out_step = static_cast<std::ptrdiff_t>(spec_.x.c) * taps_;
  for (int tap = 0; tap < taps_; ++tap) {
    for (int row = 0; row < rows; ++row) {
      const float* from = weight + (turned ? taps_ - 1 - tap + row * out_step : tap + row * in_step);
      const std::ptrdiff_t step = turned ? in_step : out_step;
      float* to = staging_ + as_size(tap) * area() + static_cast<std::ptrdiff_t>(row) * width;
      for (int column = 0; column < columns; ++column) to[column] = from[column * step];
    }
  }
  return staging_;
}

void OwnConv2dPlan::pack_bias(const float* bias, float* packed) const {
  if (spec_.bias) std::copy_n(bias, spec_.out_channels, packed);
}

void OwnConv2dPlan::unpack(const float* packed_gradients, float* dweight, float* dbias) {
  const float* gradients = packed_gradients + padded_bias();
  for (int o = 0; o < spec_.out_channels; ++o) {
    for (int i = 0; i < spec_.x.c; ++i, dweight += taps_) {
      for (int tap = 0; tap < taps_; ++tap) {
        dweight[tap] = gradients[as_size(tap) * area() + as_size(i * out_ + o)];
      }
    }
  }
  if (spec_.bias) std::copy_n(packed_gradients, spec_.out_channels, dbias);
}

void OwnConv2dPlan::add_bias_gradient(Tensor dy, float* packed_gradients) const {
  if (!spec_.bias) return;
  with_storage(dy.type, [&]<typename T>(Stored<T>) {
    kernel<SumPixels>(dy.as<T>(), y_, dy.shape.n, packed_gradients);
  });
}

std::unique_ptr<Conv2dPlan> HostConv2d::plan(const Conv2dSpec& spec) {
  spec.check();
  if (const std::string missing = host_.why_not(spec.type); !missing.empty()) {
    throw Error("a convolution stored as {}: {}", precision_name(spec.type), missing);
  }
  const auto any_other =
      host_.convolutions() == HostBackend::Convolutions::direct ? direct_plan : winograd_plan;
  for (const auto make : {image_plan, pointwise_plan, any_other}) {
    if (host_.prefers_library()) break;
    if (std::unique_ptr<Conv2dPlan> plan = make(host_, spec)) return plan;
  }
  TriedPlan tried = host_.library() ? tried_plan(host_, spec, host_.library()) : tried_plan(host_, spec);
  for (std::string& note : tried.notes) host_.add_note(std::move(note));
  return std::move(tried.plan);
}

template <>
std::unique_ptr<Conv2dKernels> make_host_kernels<Conv2dKernels>(HostBackend& host) {
  return std::make_unique<HostConv2d>(host);
}

}  // namespace normlab
