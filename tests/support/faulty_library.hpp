#pragma once
// oneDNN as it may be on a machine that nobody here has: right on most CPUs, and wrong on one.

#include <algorithm>
#include <set>
#include <utility>

#include "host/cpu/conv2d.hpp"

namespace normlab::test {

/// A convolution of the library that is wrong in one pass over pieces of some sizes.
class Faulty : public LibraryConv2dPlan {
 public:
  enum class Fault {
    loses_the_last_value,
    reads_scratch,     ///< that it has not written
    reads_its_output,  ///< before it has written it
    reads_behind_its_input,
  };
  Faulty(std::unique_ptr<LibraryConv2dPlan> plan, ConvPass pass, Fault fault, std::set<int> pieces)
      : plan_(std::move(plan)), pass_(pass), fault_(fault), pieces_(std::move(pieces)) {}

  [[nodiscard]] int largest_piece() const override { return plan_->largest_piece(); }
  [[nodiscard]] std::string implementation(ConvPass pass, int samples) const override {
    return plan_->implementation(pass, samples);
  }
  [[nodiscard]] std::size_t packed_values() const override { return plan_->packed_values(); }
  [[nodiscard]] std::size_t packed_gradients() const override { return plan_->packed_gradients(); }
  [[nodiscard]] std::size_t scratch_bytes() const override { return plan_->scratch_bytes() + 64; }
  void pack(const float* weight, const float* bias, float* packed) override {
    plan_->pack(weight, bias, packed);
  }
  void unpack(const float* packed_gradients, float* dweight, float* dbias) override {
    plan_->unpack(packed_gradients, dweight, dbias);
  }
  void forward(Tensor x, const float* packed, Tensor y, void* scratch, int worker) override {
    const float before = first(y);
    plan_->forward(x, packed, y, scratch, worker);
    if (is_faulty(ConvPass::forward, x)) spoil(y, x, before, scratch);
  }
  void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int worker) override {
    const float before = first(dx);
    plan_->backward_data(dy, packed, dx, scratch, worker);
    if (is_faulty(ConvPass::backward_data, dy)) spoil(dx, dy, before, scratch);
  }
  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch, int worker) override {
    plan_->backward_weights(x, dy, packed_gradients, scratch, worker);
    if (!is_faulty(ConvPass::backward_weights, x)) return;
    if (fault_ == Fault::loses_the_last_value) {
      std::fill_n(packed_gradients, plan_->packed_gradients(), 0.0F);
    } else {
      *packed_gradients += 0 * (fault_ == Fault::reads_behind_its_input ? behind(x) : unwritten(scratch));
    }
  }

 private:
  [[nodiscard]] bool is_faulty(ConvPass pass, const Tensor& x) const {
    bool found = false;
    int left = x.shape.n;
    for (int piece = largest_piece(); piece > 0; piece /= 2) {
      found |= left >= piece && pieces_.contains(piece);
      left %= piece;
    }
    return found && pass == pass_;
  }
  static float first(const Tensor& tensor) {
    return with_storage(tensor.type,
                        [&]<typename T>(Stored<T>) { return static_cast<float>(*tensor.as<T>()); });
  }
  static float behind(const Tensor& tensor) {
    const auto values = tensor.shape.pixels() * padded(tensor.shape.c) * tensor.shape.n;
    return with_storage(tensor.type,
                        [&]<typename T>(Stored<T>) { return static_cast<float>(tensor.as<T>()[values]); });
  }
  [[nodiscard]] float unwritten(void* scratch) const {
    return *reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + (plan_->scratch_bytes() + 3) / 4 * 4);
  }
  void spoil(const Tensor& to, const Tensor& from, float before, void* scratch) const {
    with_storage(to.type, [&]<typename T>(Stored<T>) {
      T* y = to.as<T>();
      switch (fault_) {
        case Fault::loses_the_last_value:
          y[(to.shape.pixels() * to.shape.n - 1) * padded(to.shape.c) + to.shape.c - 1] =
              static_cast<T>(0.0F);
          break;
        case Fault::reads_scratch:
          *y = static_cast<T>(static_cast<float>(*y) + 0 * unwritten(scratch));
          break;
        case Fault::reads_its_output:
          *y = static_cast<T>(static_cast<float>(*y) + 0 * before);
          break;
        case Fault::reads_behind_its_input:
          *y = static_cast<T>(static_cast<float>(*y) + 0 * behind(from));
          break;
      }
    });
  }

  std::unique_ptr<LibraryConv2dPlan> plan_;
  ConvPass pass_;
  Fault fault_;
  std::set<int> pieces_;
};

enum class Which { first, all };

/// The library, whose first choice for a pass is wrong, or all are.
inline MakeLibraryPlan faulty_library(ConvPass pass, Faulty::Fault fault, Which which) {
  return [=](HostBackend& backend, const Conv2dSpec& spec, const Implementations& implementations) {
    std::unique_ptr<LibraryConv2dPlan> plan = library_plan(backend, spec, implementations);
    if (!plan) return plan;
    const std::unique_ptr<LibraryConv2dPlan> usual = library_plan(backend, spec, {});
    std::set<int> pieces;
    for (int n = plan->largest_piece(); n > 0; n /= 2) {
      const bool is_first = plan->implementation(pass, n) == usual->implementation(pass, n);
      if (is_first || which == Which::all) pieces.insert(n);
    }
    plan = std::make_unique<Faulty>(std::move(plan), pass, fault, pieces);
    return plan;
  };
}

}  // namespace normlab::test
