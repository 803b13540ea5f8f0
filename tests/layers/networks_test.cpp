// Whole networks: parameter counts, gradients of NetA and residual networks with every norm against the
// double reference in fp32 (NetA in bf16, too), and golden trajectories from PyTorch in float64.

#include <algorithm>

#include "layers/networks.hpp"

#include "layers/initialize.hpp"
#include "layers/optimizer.hpp"
#include "tests/reference/golden.hpp"
#include "tests/support/conv_tolerance.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/norm_names.hpp"
#include "tests/support/norm_tolerance.hpp"

namespace normlab {
namespace {

using reference::Named;
using reference::Values;

struct Network {
  test::TestBackend backend;
  std::unique_ptr<Graph> graph;

  Network(const std::string& backend_name, const std::string& net, const std::string& norm,
          GraphOptions options, int threads = 2)
      : backend(test::make_test_backend(backend_name, threads)),
        graph(std::make_unique<Graph>(*backend, Shape{1, 3, 32, 32})) {
    build_network(*graph, {net, Norm::parse(norm)});
    graph->setup(options);
  }
  void set(const Named& parameters) {
    for (const Parameter* p : graph->parameters()) {
      ASSERT_EQ(parameters.at(p->name).size(), p->count) << p->name;
      backend->to_device(test::floats(parameters.at(p->name)).data(), graph->values() + p->offset,
                         p->count * sizeof(float));
    }
  }
  [[nodiscard]] Named read(const float* flat) const {
    Named named;
    for (const Parameter* p : graph->parameters()) {
      std::vector<float> values(p->count);
      backend->to_host(flat + p->offset, values.data(), p->count * sizeof(float));
      named[p->name] = Values(values.begin(), values.end());
    }
    return named;
  }
};

TEST(Networks, ParameterCountsAreThoseOfTheStudy) {
  const auto count = [](const char* net, const char* norm) {
    return Network("cpu_blocked", net, norm, {.batch = 1}).graph->parameter_count();
  };
  EXPECT_EQ(count("net_a", "bn"), 46010U);
  EXPECT_EQ(count("net_a", "none"), 45818U);
  EXPECT_EQ(count("net_a", "ln-elementwise"), 48982U);
  EXPECT_EQ(count("net_a", "rms-elementwise"), 30550U);
  EXPECT_EQ(count("net_a", "gn:4"), 46010U);
  EXPECT_EQ(count("net_a", "rms"), 46010U - 224U);
  EXPECT_EQ(count("plain:10", "bn"), 3U * 32 * 9 + 9 * 32 * 32 * 9 + 10 * 64 + 330);
}

/// 272,474 is what PyTorch programs count for ResNet-20 with projection shortcuts, 855,770 for ResNet-56 (He
/// et al. say 0.27 and 0.85 million without them).
TEST(Networks, ResidualNetworksHaveTheKnownSizes) {
  const auto count = [](const char* net, const char* norm) {
    const Network network("cpu_blocked", net, norm, {.batch = 1});
    EXPECT_EQ(network.graph->parameter_count(),
              reference::parameter_count(reference::make_network(net, norm)))
        << net << " " << norm;
    return network.graph->parameter_count();
  };
  constexpr unsigned kNormed = 7 * (16 + 32 + 64);  // channels of all norms in ResNet-20
  EXPECT_EQ(count("resnet:20", "bn"), 272474U);
  EXPECT_EQ(count("resnet:56", "bn"), 855770U);
  EXPECT_EQ(count("resnet:20", "gn:4"), 272474U);
  EXPECT_EQ(count("resnet:20", "in"), 272474U);
  EXPECT_EQ(count("resnet:20", "rms"), 272474U - kNormed);
  EXPECT_EQ(count("resnet:20", "none"), 272474U - kNormed);  // a bias for gamma and beta
  EXPECT_EQ(count("resnet:20", "ln-elementwise"),
            272474U - 2 * kNormed + 2 * 7 * (16 * 1024 + 32 * 256 + 64 * 64));
  EXPECT_EQ(count("resnet:20", "rms-elementwise"),
            272474U - 2 * kNormed + 7 * (16 * 1024 + 32 * 256 + 64 * 64));
}

TEST(Networks, WidthScalesResidualNetworks) {
  const auto backend = test::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, 3, 32, 32});
  build_network(graph, {"resnet:8", Norm::parse("bn"), 0.5, 100});
  graph.setup({.batch = 1});
  std::map<std::string, std::vector<int>> dims;
  for (const Parameter* parameter : graph.parameters()) dims[parameter->name] = parameter->dims;
  EXPECT_EQ(dims.at("stem.conv.weight"), (std::vector<int>{8, 3, 3, 3}));
  EXPECT_EQ(dims.at("s3.b1.c1.conv.weight"), (std::vector<int>{32, 16, 3, 3}));
  EXPECT_EQ(dims.at("s3.b1.shortcut.conv.weight"), (std::vector<int>{32, 16, 1, 1}));
  EXPECT_EQ(dims.at("fc.weight"), (std::vector<int>{100, 32}));
  EXPECT_EQ(dims.count("s1.b1.shortcut.conv.weight"), 0U);
}

TEST(Networks, SummaryAddsUp) {
  const Network network("cpu_blocked", "net_a", "bn", {.batch = 1});
  const std::string text = summary(*network.graph);
  EXPECT_NE(text.find("46,010"), std::string::npos) << text;
  EXPECT_NEAR(2 * multiply_adds(*network.graph) / 1e6, 22.8, 0.05);        // MFLOP forward
  EXPECT_NEAR(2 * training_multiply_adds(*network.graph) / 1e6, 68, 0.5);  // to train
}

TEST(Networks, UnknownNamesAreRefused) {
  for (const char* norm : {"batch", "gn", "gn:0", "gn:x", "gn:4x", ""}) {
    EXPECT_THROW(static_cast<void>(Norm::parse(norm)), UsageError) << norm;
  }
  for (const char* net :
       {"resnet", "resnet:", "resnet:2", "resnet:9", "resnet:1004", "plain:0", "plain:", "net_b"}) {
    EXPECT_THROW(Network("cpu_blocked", net, "bn", {}), UsageError) << net;
  }
}

/// One training pass of a network on a batch of the golden trajectories, and everything that it computed, by
/// the reference's names: a fused norm and ReLU is the reference's ReLU.
struct WholePass {
  reference::Network network;
  Named parameters, parameter_gradients;
  reference::Tensor x;
  std::vector<int> labels;
  PassResult result;
  std::map<std::string, reference::Tensor> activations, gradients;
  reference::Decisions decisions;

  WholePass(const std::string& backend_name, const std::string& norm, int samples,
            const std::string& net = "net_a")
      : network(reference::make_network(net, norm)),
        parameters(reference::trajectory::initial_parameters(network)),
        x(samples, 3, 32, 32),
        labels(reference::trajectory::label_batch(0)) {
    const DataType type = test::precision_of(backend_name);
    for (auto& [name, values] : parameters) {  // packing would round the parameters of convolutions
      const bool is_norm = name.find(".norm.") != std::string::npos;
      test::round_to(is_norm                  ? DataType::f32
                     : name.ends_with("bias") ? test::bias_type(backend_name)
                                              : type,
                     values);
    }
    const reference::Tensor batch_of_32 = reference::trajectory::input(0);
    std::copy_n(batch_of_32.v.begin(), x.size(), x.v.begin());
    test::round_to(type, x.v);
    labels.resize(static_cast<std::size_t>(samples));

    Network ours(backend_name, net, norm,
                 {.batch = samples,
                  .shard_samples = test::has_part(backend_name, "cuda") ? 0 : 4,  // a GPU has one shard
                  .precision = type,
                  .keep = true});
    ours.set(parameters);
    const std::vector<float> values = test::floats(x.v);
    const std::vector<std::int32_t> targets(labels.begin(), labels.end());
    Batch batch;
    batch.count = samples;
    batch.values = values.data();
    batch.labels = targets.data();
    result = ours.graph->forward_backward(batch);
    parameter_gradients = ours.read(ours.graph->gradients());

    std::string before = "input";
    activations[before] = x;
    for (const normlab::Node& node : ours.graph->nodes()) {
      if (node.layer->is_loss()) continue;
      std::string name = node.layer->name();
      const Shape shape = node.layer->y_shape().with_n(samples);
      const reference::Tensor y = test::tensor_of(shape, ours.graph->activation(name));
      const reference::Tensor dy = test::tensor_of(shape, ours.graph->gradient(name));
      const std::string block = name.substr(0, name.rfind('.'));
      if (name.ends_with(".relu") || (name.ends_with(".norm") && network.has(block + ".relu"))) {
        name = block + ".relu";
        decisions.relu[name] = reference::relu_mask(y);
      } else if (node.layer->kind() == "max_pool") {
        decisions.pool[name] = reference::max_pool_choices(activations.at(before));
      }
      activations[name] = y;
      gradients[name] = dy;
      before = name;
    }
  }
};

/// Under sanitizers, where a network takes ten times as long, one of each kind: every layer's own test has
/// all of them.
std::vector<std::string> whole_network_backends(DataType type) {
#ifdef NORMLAB_SANITIZED
  return type == DataType::f32 ? std::vector<std::string>{"cpu_blocked", "cuda_emulated"}
                               : std::vector<std::string>{"cpu_blocked_bf16"};
#else
  return test::backend_names(type);
#endif
}

class WholeNetwork : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

/// The reference takes the ReLU masks and pooling choices of the run under test, and each that it would have
/// made otherwise must have been close: then the gradients agree to 2e-5 in L2.
void expect_gradients_of_the_reference(const WholePass& ours, int samples) {
  reference::Options options;
  options.forced = &ours.decisions;
  const reference::Pass expected = reference::run(ours.network, ours.parameters, ours.x, ours.labels,
                                                  reference::initial_running(ours.network), options);
  EXPECT_LT(expected.forced_margin, 1e-5) << expected.forced_differences << " decisions differ";
  EXPECT_NEAR(ours.result.loss_sum / samples, expected.loss.loss, 1e-5 * expected.loss.loss);
  double difference = 0, size = 0;
  for (const auto& [name, values_of] : expected.gradients) {
    const double distance = reference::l2_distance(ours.parameter_gradients.at(name), values_of);
    const double norm_of = reference::l2_norm(values_of);
    // Every slice must fit by itself, too, so that a small one cannot hide behind a large one.
    EXPECT_LE(distance, 1e-4 * norm_of + 1e-8) << name;
    difference += distance * distance;
    size += norm_of * norm_of;
  }
  EXPECT_LE(std::sqrt(difference), 2e-5 * std::sqrt(size));
}

TEST_P(WholeNetwork, GradientsMatchTheReference) {
  const auto& [backend_name, norm] = GetParam();
  constexpr int kSamples = 11;  // shards of 2 and 4, and the stretches of a GPU, leave a rest
  expect_gradients_of_the_reference(WholePass(backend_name, norm, kSamples), kSamples);
}

INSTANTIATE_TEST_SUITE_P(NetA, WholeNetwork,
                         ::testing::Combine(::testing::ValuesIn(whole_network_backends(DataType::f32)),
                                            ::testing::ValuesIn(test::norm_names())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param));
                         });

class ResidualNetwork : public WholeNetwork {};

TEST_P(ResidualNetwork, GradientsMatchTheReference) {
  const auto& [backend_name, norm] = GetParam();
  constexpr int kSamples = 5;
  expect_gradients_of_the_reference(WholePass(backend_name, norm, kSamples, "resnet:8"), kSamples);
}

INSTANTIATE_TEST_SUITE_P(Depth8, ResidualNetwork,
                         ::testing::Combine(::testing::Values("cpu_blocked", "cpu_nhwc"),
                                            ::testing::ValuesIn(test::norm_names())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param));
                         });

TEST(ResidualNetwork20, GradientsMatchTheReference) {
  for (const char* norm : {"bn", "gn:4"}) {
    SCOPED_TRACE(norm);
    expect_gradients_of_the_reference(WholePass("cpu_blocked", norm, 3, "resnet:20"), 3);
  }
}

class WholeNetworkBf16 : public WholeNetwork {};

/// In bf16 every layer rounds what it stores, so whole networks drift apart. Instead the reference takes each
/// layer's input, and the gradient of its output, from the run under test, exactly as they were stored: what
/// the layer made of them then differs by fp32 arithmetic and one rounding, however deep the network. Every
/// layer right on its own inputs is every gradient right.
void expect_layers_of_the_reference(const std::string& backend_name, const WholePass& ours, int samples) {
  constexpr auto kType = DataType::bf16;
  reference::Options options;
  options.forced = &ours.decisions;
  options.activations = &ours.activations;
  options.gradients = &ours.gradients;
  const reference::Pass expected = reference::run(ours.network, ours.parameters, ours.x, ours.labels,
                                                  reference::initial_running(ours.network), options);
  EXPECT_LT(expected.forced_margin, 1e-5) << expected.forced_differences << " decisions differ";
  EXPECT_NEAR(ours.result.loss_sum / samples, expected.loss.loss, 1e-6 * expected.loss.loss);
  const auto check = [&](const Values& actual, const Values& wanted, const Values& tolerance,
                         const std::string& what) {
    test::expect_within(test::floats(actual), wanted, tolerance, what);
  };
  const auto check_parameter = [&](const std::string& name, const Values& tolerance) {
    check(ours.parameter_gradients.at(name), expected.gradients.at(name), tolerance, "d " + name);
  };
  const std::string logits = ours.network.nodes.back().name;
  check(ours.gradients.at(logits).v, expected.loss.dlogits.v,
        test::stored(kType, expected.loss.dlogits.v, 1e-6 / samples), "dlogits");

  using Kind = reference::Node::Kind;
  std::map<std::string, int> readers;
  for (std::size_t i = 0; i < ours.network.nodes.size(); ++i) {
    for (const std::string& input : ours.network.inputs_of(i)) ++readers[input];
  }
  for (std::size_t i = 0; i < ours.network.nodes.size(); ++i) {
    const reference::Node& node = ours.network.nodes[i];
    const std::vector<std::string> inputs = ours.network.inputs_of(i);
    const std::string& before = inputs.front();
    if (ours.activations.count(before) == 0) continue;             // a ReLU within its norm's layer
    const bool is_fused = ours.activations.count(node.name) == 0;  // a norm with its ReLU
    const std::string after = is_fused ? ours.network.nodes[i + 1].name : node.name;
    const reference::Tensor &x = ours.activations.at(before), &dy = ours.gradients.at(after);
    Values y_tolerance(dy.size(), 0.0),
        dx_tolerance(x.size(), 0.0);  // ReLU and max pool move numbers as they are
    if (node.kind == Kind::conv || node.kind == Kind::linear) {
      const reference::Conv conv = node.kind == Kind::conv ? node.conv : reference::Conv{1, 1, 0};
      const Values weight = reference::absolute(ours.parameters.at(node.name + ".weight"));
      const Values bias = node.bias ? reference::absolute(ours.parameters.at(node.name + ".bias")) : Values();
      const reference::ConvGradients size =
          reference::conv2d_backward(absolute(x), weight, absolute(dy), conv);
      y_tolerance = test::conv_tolerance(reference::conv2d(absolute(x), weight, bias, node.outputs, conv));
      dx_tolerance = test::conv_tolerance(size.dx);
      // Where inputs or gradients of a channel are nearly all zeros, a kernel's taps say little about its
      // tiles.
      Values dweight_tolerance = test::scaled(size.dweight, 1e-5);
      for (double& t : dweight_tolerance) t += 1e-7 * reference::largest(size.dweight);
      const Values& dweight = expected.gradients.at(node.name + ".weight");
      check_parameter(node.name + ".weight", test::conv_gradient(backend_name, dweight, dweight_tolerance));
      if (node.bias) check_parameter(node.name + ".bias", test::scaled(size.dbias, 1e-5));
    } else if (node.kind == Kind::norm) {
      const Values& gamma = ours.parameters.at(node.name + ".weight");
      const Values beta = node.norm.has_beta() ? ours.parameters.at(node.name + ".bias") : Values();
      const test::NormTolerance tolerance =
          test::norm_tolerance(node.norm, reference::norm_forward(node.norm, x, gamma, beta), gamma, beta,
                               is_fused ? reference::relu_backward(ours.decisions.relu.at(after), dy) : dy);
      y_tolerance.assign(dy.size(), tolerance.y);
      dx_tolerance = tolerance.dx;
      check_parameter(node.name + ".weight", tolerance.dgamma);
      if (node.norm.has_beta()) check_parameter(node.name + ".bias", tolerance.dbeta);
    } else if (node.kind == Kind::global_average_pool) {
      y_tolerance = test::scaled(reference::global_average_pool(absolute(x)).v, 1e-6);
      dx_tolerance.assign(x.size(), 1e-6 * reference::largest(dy.v));
    } else if (node.kind == Kind::add) {
      y_tolerance = test::scaled(reference::absolute(expected.activations.at(after).v), 1e-6);
    }
    const bool is_exact = node.kind == Kind::relu || node.kind == Kind::max_pool;
    const auto within = [&](const Values& values, const Values& tolerance) {
      return is_exact ? tolerance : test::stored(kType, values, tolerance);
    };
    const Values& y = expected.activations.at(after).v;
    check(ours.activations.at(after).v, y, within(y, y_tolerance), after);
    // Where several layers read a value, the reference has the sum of what they say.
    if (i == 0 || readers.at(before) > 1) continue;
    const Values& dx = expected.activation_gradients.at(before).v;
    check(ours.gradients.at(before).v, dx, within(dx, dx_tolerance), "gradient of " + before);
  }
}

TEST_P(WholeNetworkBf16, EveryLayerMatchesTheReferenceOnItsOwnInputs) {
  const auto& [backend_name, norm] = GetParam();
  if (const std::string missing = test::make_test_backend(backend_name)->why_not(DataType::bf16);
      !missing.empty())
    GTEST_SKIP() << missing;
  constexpr int kSamples = 6;
  expect_layers_of_the_reference(backend_name, WholePass(backend_name, norm, kSamples), kSamples);
}

TEST(ResidualNetworkBf16, EveryLayerMatchesTheReferenceOnItsOwnInputs) {
  for (const char* backend_name : {"cpu_blocked_bf16", "cpu_nhwc_bf16"}) {
    if (const std::string missing = test::make_test_backend(backend_name)->why_not(DataType::bf16);
        !missing.empty())
      GTEST_SKIP() << missing;
    for (const char* norm : {"none", "bn", "gn:4"}) {
      SCOPED_TRACE(fmt::format("{} {}", backend_name, norm));
      constexpr int kSamples = 3;
      expect_layers_of_the_reference(backend_name, WholePass(backend_name, norm, kSamples, "resnet:8"),
                                     kSamples);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(NetA, WholeNetworkBf16,
                         ::testing::Combine(::testing::ValuesIn(whole_network_backends(DataType::bf16)),
                                            ::testing::ValuesIn(test::norm_names())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param));
                         });

class Trajectory : public WholeNetwork {};

#ifdef NORMLAB_SANITIZED
constexpr int kTrajectorySteps = 5;
#else
constexpr int kTrajectorySteps = 20;
#endif

/// batch 32, lr 0.001, momentum 0.9, no weight decay: parameters within 1e-4 (relative, L2) of PyTorch's
/// after 5 steps and 3e-4 after 20, and within 2 % and 6 % of the way they went.
TEST_P(Trajectory, FollowsPyTorch) {
  const auto& [backend_name, norm] = GetParam();
  static const reference::Golden golden(reference::golden_path("trajectories.txt"));
  const reference::Network network = reference::net_a(norm);
  const Named start = reference::trajectory::initial_parameters(network);
  Network ours(backend_name, "net_a", norm, {.batch = reference::trajectory::kBatch});
  ours.set(start);
  Optimizer optimizer(*ours.graph, {OptimizerOptions::Kind::sgd, false, 0, 0});
  const Values& losses = golden.values("trajectory/" + norm + "/losses");
  for (int step = 0; step < kTrajectorySteps; ++step) {
    const std::vector<float> values = test::floats(reference::trajectory::input(step).v);
    const std::vector<int> labels = reference::trajectory::label_batch(step);
    const std::vector<std::int32_t> targets(labels.begin(), labels.end());
    Batch batch;
    batch.count = reference::trajectory::kBatch;
    batch.values = values.data();
    batch.labels = targets.data();
    const PassResult pass = ours.graph->forward_backward(batch);
    EXPECT_NEAR(pass.loss_sum / pass.count, losses[static_cast<std::size_t>(step)], 2e-3) << "step " << step;
    optimizer.step({reference::trajectory::kRate, reference::trajectory::kMomentum});
    const int done = step + 1;
    if (done != 5 && done != 20) continue;
    const auto distance =
        reference::trajectory::distance(golden, norm, done, network, start, ours.read(ours.graph->values()));
    EXPECT_LT(distance.whole, done == 5 ? 1e-4 : 3e-4) << "step " << done;
    EXPECT_LT(distance.change, done == 5 ? 0.02 : 0.06) << "step " << done;
  }
}

INSTANTIATE_TEST_SUITE_P(NetA, Trajectory,
                         ::testing::Combine(::testing::Values("cpu_blocked", "cpu_nhwc"),
                                            ::testing::ValuesIn(test::norm_names())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace normlab
