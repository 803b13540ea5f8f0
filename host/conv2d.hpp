#pragma once
// The ways to convolve on this CPU. Our own cover the shapes of the study's networks; the library has the
// rest.

#include <memory>
#include <vector>

#include "host/host_backend.hpp"

namespace normlab {

/// Each returns null if the shape is not one of its own.
[[nodiscard]] std::unique_ptr<Conv2dPlan> winograd_plan(HostBackend& backend, const Conv2dSpec& spec);
[[nodiscard]] std::unique_ptr<Conv2dPlan> pointwise_plan(HostBackend& backend, const Conv2dSpec& spec);
[[nodiscard]] std::unique_ptr<Conv2dPlan> image_plan(HostBackend& backend, const Conv2dSpec& spec);
/// Any shape.
[[nodiscard]] std::unique_ptr<Conv2dPlan> library_plan(HostBackend& backend, const Conv2dSpec& spec);

/// What our own plans share: gradients are packed as bias (padded out), then (taps, in, out) with both
/// channel counts padded to 16.
class OwnConv2dPlan : public Conv2dPlan {
 public:
  OwnConv2dPlan(const HostBackend& backend, const Conv2dSpec& spec, int taps);

  [[nodiscard]] std::size_t packed_gradients() const override {
    return padded_bias() + area() * static_cast<std::size_t>(taps_);
  }
  void unpack(const float* packed_gradients, float* dweight, float* dbias) override;

 protected:
  [[nodiscard]] const Conv2dSpec& spec() const { return spec_; }
  [[nodiscard]] int in() const { return in_; }
  [[nodiscard]] int out() const { return out_; }
  /// Floats of one tap's (in, out) matrix, and of the bias.
  [[nodiscard]] std::size_t area() const {
    return static_cast<std::size_t>(in_) * static_cast<std::size_t>(out_);
  }
  [[nodiscard]] std::size_t padded_bias() const { return spec_.bias ? static_cast<std::size_t>(out_) : 0; }

  /// The weights as (taps, in, out), valid until the next call; turned: the kernels rotated by half a turn,
  /// as (taps, out, in), which is what the backward pass convolves dy with.
  [[nodiscard]] const float* taps(const float* weight, bool turned);
  void pack_bias(const float* bias, float* packed) const;
  /// packed_gradients' bias += sum of dy over samples and pixels.
  void add_bias_gradient(Tensor dy, float* packed_gradients) const;

 private:
  Conv2dSpec spec_;
  HostLayout y_;
  int taps_, in_, out_;
  std::vector<float> storage_;
  float* staging_;  ///< in storage_, aligned
};

}  // namespace normlab
