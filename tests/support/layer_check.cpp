#include "tests/support/layer_check.hpp"

#include <algorithm>
#include <cmath>

#include "experiments/options/backends.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "tests/support/emulated_backend.hpp"

namespace normlab::test {

TestBackend::TestBackend(const std::string& name, int threads) : precision(precision_of(name)) {
  if (has_part(name, "emulated")) {
    backend_ = make_emulated_backend({has_part(name, "cudnn"), false, {}});
  } else if (has_part(name, "cuda")) {
    backend_ = make_backend("cuda", threads, {false, has_part(name, "cudnn"), {}});
  } else {
    using Blocks = HostBackend::Blocks;
    auto host =
        std::make_unique<HostBackend>(threads, has_part(name, "nhwc") ? Blocks::nhwc : Blocks::blocked);
    force_isa(forced_isa_of(name).value_or(usual_isa()));
    host->prefer_library(has_part(name, "library"));
    if (has_part(name, "direct")) host->set_convolutions(HostBackend::Convolutions::direct);
    backend_ = std::move(host);
  }
}

Isa TestBackend::usual_isa() const {
#ifdef __SANITIZE_ADDRESS__
  return Isa::portable;
#else
  return before_;
#endif
}

bool has_part(const std::string& name, const std::string& part) {
  return ("_" + name + "_").find("_" + part + "_") != std::string::npos;
}

DataType precision_of(const std::string& backend_name) {
  return has_part(backend_name, "bf16") ? DataType::bf16 : DataType::f32;
}

std::optional<Isa> forced_isa_of(const std::string& backend_name) {
  for (const Isa lesser : {Isa::portable, Isa::avx2}) {
    if (has_part(backend_name, isa_name(lesser))) return lesser;
  }
  return std::nullopt;
}

std::vector<std::string> backend_names(std::optional<DataType> type) {
  std::vector<std::string> names;
  for (const char* name :
       {"cpu_blocked", "cpu_nhwc", "cpu_blocked_portable", "cpu_nhwc_avx2", "cpu_blocked_bf16",
        "cpu_nhwc_bf16", "cpu_nhwc_portable_bf16", "cpu_blocked_avx2_bf16",
        // In the other layout the library may have nothing.
        HostBackend(1).blocked(DataType::f32) ? "cpu_blocked_library" : "cpu_nhwc_library",
        "cpu_nhwc_library_bf16", "cpu_blocked_direct", "cpu_nhwc_direct_bf16", "cpu_nhwc_avx2_direct",
        "cuda_emulated", "cuda_emulated_bf16", "cuda", "cuda_bf16"}) {
    if (has_part(name, "cuda") && !has_part(name, "emulated") && !why_no_cuda().empty()) continue;
    if (forced_isa_of(name).value_or(Isa::portable) <= best_isa() && (!type || *type == precision_of(name)))
      names.emplace_back(name);
  }
  return names;
}

TestBackend make_test_backend(const std::string& name, int threads) {
  return {name, threads};
}

std::string why_not_here(const std::string& name) {
  return make_test_backend(name)->why_not(precision_of(name));
}

std::vector<BackendAndDraw> draws(int count, std::optional<DataType> type) {
  std::vector<BackendAndDraw> all;
  for (const std::string& name : backend_names(type)) {
    const int part = has_part(name, "emulated") ? (precision_of(name) == DataType::bf16 ? 10 : 5)
                     : forced_isa_of(name) || has_part(name, "library") ? 10
                     : precision_of(name) == DataType::bf16             ? 2
                                                                        : 1;
    for (int draw = 0; draw < count / part; ++draw) all.emplace_back(name, draw);
  }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<BackendAndDraw>& info) {
  return std::get<0>(info.param) + "_" + std::to_string(std::get<1>(info.param));
}

std::string identifier(std::string norm) {
  for (char& c : norm) c = c == '-' || c == ':' ? '_' : c;
  return norm;
}

reference::Values scaled(reference::Values values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

void round_to_float(reference::Values& values) {
  for (double& value : values) value = static_cast<double>(static_cast<float>(value));
}

void round_to(DataType type, reference::Values& values) {
  round_to_float(values);
  for (double& value : values) {
    if (type == DataType::f32) break;
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);  // 0.5 to 1, exclusively
    value = std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
  }
}

reference::Values stored(DataType type, const reference::Values& y, reference::Values tolerance) {
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (type == DataType::bf16) tolerance[i] += (std::abs(y[i]) + tolerance[i]) / 256;
  }
  return tolerance;
}

reference::Values stored(DataType type, const reference::Values& y, double tolerance) {
  return stored(type, y, reference::Values(y.size(), tolerance));
}

DataType bias_type(const std::string& backend_name) {
  return has_part(backend_name, "cuda") ? precision_of(backend_name) : DataType::f32;
}

reference::Values conv_gradient(const std::string& backend_name, const reference::Values& expected,
                                reference::Values tolerance) {
  const bool rounds = has_part(backend_name, "cuda");
  return stored(rounds ? precision_of(backend_name) : DataType::f32, expected, std::move(tolerance));
}

std::vector<float> floats(const reference::Values& values) {
  return {values.begin(), values.end()};
}

reference::Tensor tensor_of(const Shape& shape, const std::vector<float>& values) {
  return {shape.n, shape.c, shape.h, shape.w, reference::Values(values.begin(), values.end())};
}

LayerRun run_layer(const TestBackend& test_backend, std::unique_ptr<Layer> layer, const reference::Tensor& x,
                   const reference::Tensor& dy, const std::vector<reference::Values>& parameters,
                   int shard_samples) {
  Backend& backend = *test_backend;
  Graph graph(backend, {1, x.c, x.h, x.w});
  const std::string name = layer->name();
  graph.add(std::make_unique<ProbeLoss>(), graph.add(std::move(layer), graph.input()));
  GraphOptions options;
  options.batch = x.n;
  options.evaluation_batch = x.n;
  options.shard_samples = shard_samples;
  options.keep = true;
  options.precision = test_backend.precision;
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

void expect_within(const std::vector<float>& actual, const reference::Values& expected,
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

void expect_within(const std::vector<float>& actual, const reference::Values& expected, double tolerance,
                   const std::string& what) {
  expect_within(actual, expected, reference::Values(expected.size(), tolerance), what);
}

}  // namespace normlab::test
