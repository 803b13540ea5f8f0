#pragma once
// What the emulator's own tests share: arrays on the device, launches, and a device in order before and
// after.

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "device_language.hpp"
#include "tests/simt/simt.hpp"

namespace simt_test {

inline void ok(cudaError_t status) {
  ASSERT_EQ(status, cudaSuccess) << cudaGetErrorString(status) << simt::report();
}

/// Memory of the device. Copies wait.
template <typename T>
class Array {
 public:
  explicit Array(std::size_t count) : count_(count) { ok(cudaMalloc(&data_, count * sizeof(T))); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    ok(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { (void)cudaFree(data_); }

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::vector<T> values() const {
    std::vector<T> all(count_);
    ok(cudaMemcpy(all.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return all;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

template <typename... P, typename... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
                   A... values) {
  std::tuple<P...> converted(static_cast<P>(values)...);
  return std::apply(
      [&](auto&... value) {
        void* pointers[] = {static_cast<void*>(&value)..., nullptr};
        return cudaLaunchKernel(kernel, grid, block, pointers, shared, stream);
      },
      converted);
}

/// Launches and waits.
template <typename... P, typename... A>
cudaError_t run(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, A... values) {
  if (const cudaError_t status = launch(kernel, grid, block, shared, nullptr, values...);
      status != cudaSuccess)
    return status;
  return cudaDeviceSynchronize();
}

inline std::vector<float> counting(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 97) + 1;
  return values;
}

class Simt : public ::testing::Test {
 protected:
  Simt() {
    simt::reset();
    simt::set_variant(0);
  }
  ~Simt() override {
    simt::reset();
    EXPECT_EQ(simt::check_memory(), "");
    EXPECT_EQ(simt::live_allocations(), 0U);
  }

  /// In how many of 30 variants `wrong` says that a result was not right.
  template <typename Wrong>
  static int wrong_in_30(Wrong wrong) {
    int count = 0;
    for (int variant = 0; variant < 30; ++variant) {
      simt::set_variant(variant);
      count += wrong() ? 1 : 0;
    }
    return count;
  }
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The line that follows, for reports that name it.
#define SIMT_TEST_NEXT_LINE (std::string(__FILE__) + ":" + std::to_string(__LINE__ + 1))

}  // namespace simt_test
