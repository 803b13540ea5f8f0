#pragma once
// The ways to convolve on this CPU. Our own cover the shapes of the study's networks; the library has the
// rest.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/cpu/host_backend.hpp"
#include "layers/as_size.hpp"
#include "layers/kernels/conv2d.hpp"

namespace normlab {

/// Each returns null if the shape is not one of its own.
[[nodiscard]] std::unique_ptr<Conv2dPlan> winograd_plan(HostBackend& backend, const Conv2dSpec& spec);
[[nodiscard]] std::unique_ptr<Conv2dPlan> pointwise_plan(HostBackend& backend, const Conv2dSpec& spec);
[[nodiscard]] std::unique_ptr<Conv2dPlan> image_plan(HostBackend& backend, const Conv2dSpec& spec);
/// Any shape, by the definition.
[[nodiscard]] std::unique_ptr<Conv2dPlan> direct_plan(HostBackend& backend, const Conv2dSpec& spec);

enum class ConvPass { forward, backward_data, backward_weights };

/// Which of the library's implementations computes a pass over a piece of so many samples. 0 is its first
/// choice, and what is not named here has that.
using Implementations = std::map<std::pair<ConvPass, int>, int>;

/// A convolution by the library, in pieces of 1, 2, 4, ... samples with primitives of their own.
class LibraryConv2dPlan : public Conv2dPlan {
 public:
  [[nodiscard]] virtual int largest_piece() const = 0;
  /// Its name for what computes this pass.
  [[nodiscard]] virtual std::string implementation(ConvPass pass, int samples) const = 0;
};
/// Any shape; null where there is no such implementation but the definition.
[[nodiscard]] std::unique_ptr<LibraryConv2dPlan> library_plan(HostBackend& backend, const Conv2dSpec& spec,
                                                              const Implementations& implementations);
using MakeLibraryPlan = std::function<std::unique_ptr<LibraryConv2dPlan>(HostBackend&, const Conv2dSpec&,
                                                                         const Implementations&)>;

struct TriedPlan {
  std::unique_ptr<Conv2dPlan> plan;
  std::vector<std::string> notes;  ///< which implementations failed, and what takes their place
};
/// Any shape, by the library's first implementations that compute what the definition says; where there are
/// none by direct_plan(). Each is tried on a sample with NaN wherever nobody has written, once in a process.
[[nodiscard]] TriedPlan tried_plan(HostBackend& backend, const Conv2dSpec& spec);
/// The same with other primitives, and tried each time.
[[nodiscard]] TriedPlan tried_plan(HostBackend& backend, const Conv2dSpec& spec, const MakeLibraryPlan& make);

/// Channels in whole blocks of 16.
[[nodiscard]] inline int padded(int channels) {
  return (channels + kLanes - 1) / kLanes * kLanes;
}

/// Zeros in the channels that only fill the last block. A convolution's products with its zero weights are
/// zeros but for infinities and NaN, which the next layer would spread into channels that are real.
void clear_padding(const Tensor& map, const HostLayout& at);

/// What our own plans share: gradients are packed as bias (padded out), then (taps, in, out) with both
/// channel counts padded to 16.
class OwnConv2dPlan : public Conv2dPlan {
 public:
  /// in: channels that weights are packed for.
  OwnConv2dPlan(const HostBackend& backend, const Conv2dSpec& spec, int taps, int in);

  [[nodiscard]] std::size_t packed_gradients() const override {
    return padded_bias() + area() * as_size(taps_);
  }
  void unpack(const float* packed_gradients, float* dweight, float* dbias) override;

 protected:
  [[nodiscard]] const Conv2dSpec& spec() const { return spec_; }
  [[nodiscard]] int in() const { return in_; }
  [[nodiscard]] int out() const { return out_; }
  /// Floats of one tap's (in, out) matrix, and of the bias.
  [[nodiscard]] std::size_t area() const { return as_size(in_) * as_size(out_); }
  [[nodiscard]] std::size_t padded_bias() const { return spec_.bias ? as_size(out_) : 0; }

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
