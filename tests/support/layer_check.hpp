#pragma once
// Runs one layer of the product on given numbers, so that a test can hold it against the reference.

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "host/host_backend.hpp"
#include "layers/graph.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "tests/reference/gradient_check.hpp"
#include "tests/reference/tensor.hpp"

namespace normlab::testing {

/// The devices and memory layouts that a test runs on; the name is part of the test's name.
inline std::vector<std::string> backend_names() {
  return {"cpu_blocked", "cpu_nhwc"};
}

inline std::unique_ptr<Backend> make_test_backend(const std::string& name, int threads = 1) {
  return std::make_unique<HostBackend>(
      threads, name == "cpu_nhwc" ? HostBackend::Blocks::nhwc : HostBackend::Blocks::blocked);
}

/// (backend, draw): a test draws its shapes and numbers from the second, so its name repeats it.
using BackendAndDraw = std::tuple<std::string, int>;

inline std::string name_of(const ::testing::TestParamInfo<BackendAndDraw>& info) {
  return std::get<0>(info.param) + "_" + std::to_string(std::get<1>(info.param));
}

/// "ln-elementwise" as part of a test's name.
inline std::string identifier(std::string norm) {
  for (char& c : norm) c = c == '-' || c == ':' ? '_' : c;
  return norm;
}

inline reference::Values scaled(reference::Values values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

/// Rounds to fp32, so that the product and the reference see the same numbers.
inline void round_to_float(reference::Values& values) {
  for (double& value : values) value = static_cast<double>(static_cast<float>(value));
}

inline std::vector<float> floats(const reference::Values& values) {
  return {values.begin(), values.end()};
}

inline reference::Tensor tensor_of(const Shape& shape, const std::vector<float>& values) {
  return {shape.n, shape.c, shape.h, shape.w, reference::Values(values.begin(), values.end())};
}

/// What a training pass of a layer gave.
struct LayerRun {
  std::vector<float> y, dx, second_dx;
  std::vector<std::vector<float>> gradients;  ///< of each parameter, in order
  std::vector<std::vector<float>> states;
};

/// Runs forward and backward of `layer` on x, with dy for its output and `parameters` in the layer's order.
inline LayerRun run_layer(Backend& backend, std::unique_ptr<Layer> layer, const reference::Tensor& x,
                          const reference::Tensor& dy, const std::vector<reference::Values>& parameters,
                          int shard_samples = 0) {
  Graph graph(backend, {1, x.c, x.h, x.w});
  const std::string name = layer->name();
  graph.add(std::make_unique<ProbeLoss>(), graph.add(std::move(layer), graph.input()));
  GraphOptions options;
  options.batch = x.n;
  options.evaluation_batch = x.n;
  options.shard_samples = shard_samples;
  options.keep = true;
  options.input_gradient = true;
  graph.setup(options);
  const std::vector<const Parameter*> slices = graph.parameters();
  EXPECT_EQ(slices.size(), parameters.size());
  for (std::size_t i = 0; i < slices.size(); ++i) {
    EXPECT_EQ(slices[i]->count, parameters[i].size()) << slices[i]->name;
    backend.to_device(floats(parameters[i]).data(), graph.values() + slices[i]->offset,
                      slices[i]->count * sizeof(float));
  }
  const std::vector<float> values = floats(x.v), weights = floats(dy.v);
  Batch batch;
  batch.count = x.n;
  batch.values = values.data();
  batch.output_weights = weights.data();
  graph.forward_backward(batch);
  LayerRun run;
  run.y = graph.activation(name);
  run.dx = graph.gradient("input");
  for (const Parameter* slice : slices) {
    run.gradients.emplace_back(slice->count);
    backend.to_host(graph.gradients() + slice->offset, run.gradients.back().data(),
                    slice->count * sizeof(float));
  }
  for (const State* slice : graph.states()) {
    run.states.emplace_back(slice->count);
    backend.to_host(graph.state_values() + slice->offset, run.states.back().data(),
                    slice->count * sizeof(float));
  }
  return run;
}

/// Every element within its tolerance; a NaN is never within.
inline void expect_within(const std::vector<float>& actual, const reference::Values& expected,
                          const reference::Values& tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double worst = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error =
        std::abs(static_cast<double>(actual[i]) - expected[i]) / std::max(1e-30, tolerance[i]);
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
    if (!(error <= 1e300)) break;
  }
  EXPECT_LE(worst, 1.0) << what << "[" << at << "] is " << actual[at] << ", the reference says "
                        << expected[at] << " (tolerance " << tolerance[at] << ")";
  EXPECT_FALSE(std::isnan(worst)) << what << "[" << at << "] is not a number";
}

inline void expect_within(const std::vector<float>& actual, const reference::Values& expected,
                          double tolerance, const std::string& what) {
  expect_within(actual, expected, reference::Values(expected.size(), tolerance), what);
}

}  // namespace normlab::testing
