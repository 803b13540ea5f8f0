#pragma once
// Plans of convolutions run without a graph, and their definition, term by term.

#include "layers/kernels/conv2d.hpp"
#include "tests/reference/layers.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab::test {

using reference::Values;

/// What a plan computes without a graph around it; the weights' gradient is asked for `calls` times.
struct PlanRun {
  std::vector<float> y, dx, dweight, dbias;
};

class PlanRunner {
 public:
  PlanRunner(Backend& backend, const Conv2dSpec& spec);

  PlanRun operator()(const reference::Tensor& x, const Values& weight, const Values& offset,
                     const reference::Tensor& dy, int calls = 1) {
    const Tensor x_tensor{x_.data(), spec_.x, spec_.type, spec_.x_layout},
        dx_tensor{dx_.data(), spec_.x, spec_.type, spec_.x_layout};
    const Tensor y_tensor{y_.data(), spec_.y(), spec_.type}, dy_tensor{dy_.data(), spec_.y(), spec_.type};
    backend_.upload(floats(x.v).data(), x_tensor);
    backend_.upload(floats(dy.v).data(), dy_tensor);
    const DeviceArray<float> weights(backend_, floats(weight)), offsets(backend_, floats(offset));
    plan_->pack(weights.data(), spec_.bias ? offsets.data() : nullptr, packed_.floats());
    plan_->forward(x_tensor, packed_.floats(), y_tensor, scratch_.data(), 0);
    backend_.clear(gradients_.data(), gradients_.bytes());
    for (int i = 0; i < calls; ++i) {
      plan_->backward_weights(x_tensor, dy_tensor, gradients_.floats(), scratch_.data(), 0);
    }
    const DeviceArray<float> dweight(backend_, weight.size()), dbias(backend_, offset.size());
    plan_->unpack(gradients_.floats(), dweight.data(), dbias.data());
    PlanRun run{std::vector<float>(dy.v.size()), {}, dweight.read(), dbias.read()};
    backend_.download(y_tensor, run.y.data());
    expect_clear_padding(y_tensor, "y");
    if (spec_.needs_dx) {
      plan_->backward_data(dy_tensor, packed_.floats(), dx_tensor, scratch_.data(), 0);
      run.dx.resize(x.v.size());
      backend_.download(dx_tensor, run.dx.data());
      expect_clear_padding(dx_tensor, "dx");
    }
    return run;
  }

 private:
  /// On the CPU channels that only fill the last block of 16 are zeros, whatever the others are.
  void expect_clear_padding(const Tensor& tensor, const char* what) const;

  Backend& backend_;
  Conv2dSpec spec_;
  std::unique_ptr<Conv2dPlan> plan_;
  Buffer packed_, gradients_, scratch_, x_, dx_, y_, dy_;
};

PlanRun run_plan(Backend& backend, const Conv2dSpec& spec, const reference::Tensor& x, const Values& weight,
                 const Values& offset, const reference::Tensor& dy, int calls);

/// Convolution term by term, with the sizes of what is summed up. Whether the zeros around the input multiply
/// an infinity, which makes NaN, is left open: `open` marks where they could.
struct Definition {
  Values y, dx, dweight, y_size, dx_size, dweight_size;
  std::vector<bool> y_open, dx_open, dweight_open;

  Definition(const Conv2dSpec& spec, const reference::Tensor& x, const Values& weight, const Values& offset,
             const reference::Tensor& dy);
};

/// NaN and infinities just where the definition has them; what is finite within `relative` of its size.
/// `apart`: places where that is not asked.
void expect_as_defined(DataType type, const std::vector<float>& actual, const Values& expected,
                       const Values& size, const std::vector<bool>& open, const std::string& what,
                       double relative, const std::vector<bool>& apart);

}  // namespace normlab::test
