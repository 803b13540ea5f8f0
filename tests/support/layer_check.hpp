#pragma once
// Runs one layer of the product on given numbers, so that a test can hold it against the reference.

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "host/cpu/host_backend.hpp"
#include "layers/graph.hpp"
#include "tests/reference/gradient_check.hpp"
#include "tests/reference/tensor.hpp"

namespace normlab::test {

/// A backend's name says all of it, and is part of the test's name: the device, the memory layout, the
/// instruction set of our own kernels where it is not the CPU's best, `library` where the library convolves
/// what our kernels could, and bf16 where that is the storage. cuda_emulated is the GPU backend on the
/// emulated platform of tests/simt, cuda the same on a GPU, where there is one.
bool has_part(const std::string& name, const std::string& part);
DataType precision_of(const std::string& backend_name);
std::optional<Isa> forced_isa_of(const std::string& backend_name);

/// What a test runs on: all of it, or what stores activations as `type`.
std::vector<std::string> backend_names(std::optional<DataType> type = {});

/// A backend by its name. Forces its instruction set while it lives: one at a time.
class TestBackend {
 public:
  TestBackend(const std::string& name, int threads);
  TestBackend(const TestBackend&) = delete;
  TestBackend& operator=(const TestBackend&) = delete;
  ~TestBackend() { force_isa(before_); }

  [[nodiscard]] Backend& operator*() const { return *backend_; }
  [[nodiscard]] Backend* operator->() const { return backend_.get(); }

  const DataType precision;

 private:
  /// Under AddressSanitizer the kernels whose accesses are checked: see host/cpu/vector.hpp.
  [[nodiscard]] Isa usual_isa() const;

  const Isa before_ = normlab::isa();
  std::unique_ptr<Backend> backend_;
};

TestBackend make_test_backend(const std::string& name, int threads = 1);

/// Why a backend cannot store what its name says on this CPU; empty: it can.
std::string why_not_here(const std::string& name);

/// Numbers where the backend reads them.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(Backend& backend, const std::vector<T>& values)
      : backend_(backend), count_(values.size()), buffer_(backend, values.size() * sizeof(T)) {
    backend.to_device(values.data(), buffer_.data(), count_ * sizeof(T));
  }
  /// `count` zeros.
  DeviceArray(Backend& backend, std::size_t count) : DeviceArray(backend, std::vector<T>(count)) {}
  [[nodiscard]] T* data() const { return reinterpret_cast<T*>(buffer_.data()); }
  [[nodiscard]] std::vector<T> read() const {
    std::vector<T> values(count_);
    backend_.to_host(buffer_.data(), values.data(), count_ * sizeof(T));
    return values;
  }

 private:
  Backend& backend_;
  std::size_t count_;
  Buffer buffer_;
};

/// (backend, draw): a test draws its shapes and numbers from the second, so its name repeats it.
using BackendAndDraw = std::tuple<std::string, int>;

/// `count` draws for each backend, half as many in bf16, and a few where only the instruction set differs.
std::vector<BackendAndDraw> draws(int count, std::optional<DataType> type = {});

std::string name_of(const ::testing::TestParamInfo<BackendAndDraw>& info);

/// "ln-elementwise" as part of a test's name.
std::string identifier(std::string norm);

reference::Values scaled(reference::Values values, double factor);

/// Rounds to fp32, so that the product and the reference see the same numbers.
void round_to_float(reference::Values& values);
/// The same for what is stored as `type`. bf16: to 8 significant bits, ties to even.
void round_to(DataType type, reference::Values& values);

/// The tolerance of a stored result, from that of the arithmetic. Rounding to bf16's 8 significant bits moves
/// a value by at most half a unit in the last one, that is 2^-8 of its size; and what gets rounded is
/// anything within the tolerance of y: |stored - y| <= tolerance + 2^-8 (|y| + tolerance).
reference::Values stored(DataType type, const reference::Values& y, reference::Values tolerance);
reference::Values stored(DataType type, const reference::Values& y, double tolerance);

/// What a convolution's bias is rounded to: cuDNN adds it to outputs in their own type.
DataType bias_type(const std::string& backend_name);
/// Of the gradient of a convolution's weights: cuDNN rounds it to bf16 where that is the storage.
reference::Values conv_gradient(const std::string& backend_name, const reference::Values& expected,
                                reference::Values tolerance);

std::vector<float> floats(const reference::Values& values);

reference::Tensor tensor_of(const Shape& shape, const std::vector<float>& values);

/// What a training pass of a layer gave.
struct LayerRun {
  std::vector<float> y, dx, second_dx;
  std::vector<std::vector<float>> gradients;  ///< of each parameter, in order
  std::vector<std::vector<float>> states;
};

/// Runs forward and backward of `layer`, stored as the backend's name says, on x, with dy for its output and
/// `parameters` in the layer's order.
LayerRun run_layer(const TestBackend& test_backend, std::unique_ptr<Layer> layer, const reference::Tensor& x,
                   const reference::Tensor& dy, const std::vector<reference::Values>& parameters,
                   int shard_samples = 0);

/// Every element within its tolerance; a NaN is never within.
void expect_within(const std::vector<float>& actual, const reference::Values& expected,
                   const reference::Values& tolerance, const std::string& what);

void expect_within(const std::vector<float>& actual, const reference::Values& expected, double tolerance,
                   const std::string& what);

}  // namespace normlab::test
