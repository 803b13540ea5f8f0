#include "tests/support/conv_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "host/cpu/layout.hpp"
#include "layers/kernels/conv2d.hpp"

namespace normlab::test {

PlanRunner::PlanRunner(Backend& backend, const Conv2dSpec& spec)
    : backend_(backend),
      spec_(spec),
      plan_(backend.get<Conv2dKernels>().plan(spec)),
      packed_(backend, plan_->packed_values() * sizeof(float)),
      gradients_(backend, plan_->packed_gradients() * sizeof(float)),
      scratch_(backend, plan_->scratch_bytes()),
      x_(backend, backend.bytes(spec.x, spec.type, spec.x_layout)),
      dx_(backend, x_.bytes()),
      y_(backend, backend.bytes(spec.y(), spec.type, Layout::native)),
      dy_(backend, y_.bytes()) {
  if (backend.reads_host_memory()) std::memset(scratch_.data(), 0xFF, scratch_.bytes());  // nobody's: NaN
}

void PlanRunner::expect_clear_padding(const Tensor& tensor, const char* what) const {
  const auto* host = dynamic_cast<const HostBackend*>(&backend_);
  if (host == nullptr) return;
  const HostLayout at(tensor.shape, host->blocked(tensor.type));
  with_storage(tensor.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < tensor.shape.n; ++n) {
      for (int c = tensor.shape.c; c < at.padded_channels(); ++c) {
        for (int p = 0; p < tensor.shape.pixels(); ++p) {
          const auto value = static_cast<float>(tensor.as<T>()[at.at(n, c, p)]);
          ASSERT_EQ(value, 0.0F) << what << "'s channel " << c << " of " << tensor.shape.c;
        }
      }
    }
  });
}

Definition::Definition(const Conv2dSpec& spec, const reference::Tensor& x, const Values& weight,
                       const Values& offset, const reference::Tensor& dy)
    : y(dy.size()),
      dx(x.size()),
      dweight(weight.size()),
      y_size(y),
      dx_size(dx),
      dweight_size(dweight),
      y_open(y.size()),
      dx_open(dx.size()),
      dweight_open(dweight.size()) {
  const int k = spec.kernel;
  std::vector<int> taps_of(x.size());  // that reach an input, in one pair of channels
  reference::for_each(dy, [&](int n, int o, int h, int w, std::size_t out) {
    if (spec.bias) y[out] += offset[static_cast<std::size_t>(o)];
    for (int c = 0; c < x.c; ++c) {
      for (int tap = 0; tap < k * k; ++tap) {
        const int row = h * spec.stride - spec.padding + tap / k;
        const int column = w * spec.stride - spec.padding + tap % k;
        const auto at = static_cast<std::size_t>((o * x.c + c) * k * k + tap);
        if (row < 0 || row >= x.h || column < 0 || column >= x.w) {
          if (!std::isfinite(weight[at])) y_open[out] = true;
          if (!std::isfinite(dy.v[out])) dweight_open[at] = true;
          continue;
        }
        const std::size_t in = x.index(n, c, row, column);
        if (o == 0) ++taps_of[in];
        const auto add = [](double& sum, double& size, double a, double b) {
          sum += a * b;
          size += std::abs(a * b);
        };
        add(y[out], y_size[out], x.v[in], weight[at]);
        add(dx[in], dx_size[in], dy.v[out], weight[at]);
        add(dweight[at], dweight_size[at], x.v[in], dy.v[out]);
      }
    }
  });
  const bool is_finite = std::ranges::all_of(weight, [](double value) { return std::isfinite(value); });
  for (std::size_t i = 0; i < dx.size(); ++i) dx_open[i] = !is_finite && taps_of[i] < k * k;
}

PlanRun run_plan(Backend& backend, const Conv2dSpec& spec, const reference::Tensor& x, const Values& weight,
                 const Values& offset, const reference::Tensor& dy, int calls) {
  return PlanRunner(backend, spec)(x, weight, offset, dy, calls);
}

void expect_as_defined(DataType type, const std::vector<float>& actual, const Values& expected,
                       const Values& size, const std::vector<bool>& open, const std::string& what,
                       double relative, const std::vector<bool>& apart) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (apart[i] || (open[i] && std::isnan(actual[i]))) continue;
    const auto value = static_cast<double>(actual[i]);
    if (!std::isfinite(expected[i])) {
      ASSERT_TRUE(std::isnan(expected[i]) ? std::isnan(value) : value == expected[i])
          << what << "[" << i << "] is " << value << ", not " << expected[i];
      continue;
    }
    const double rounding = type == DataType::bf16 ? std::abs(expected[i]) / 256 : 0;
    ASSERT_LE(std::abs(value - expected[i]), relative * size[i] + 1.01 * rounding)
        << what << "[" << i << "] is " << value << ", not " << expected[i] << ", of size " << size[i];
  }
}

}  // namespace normlab::test
