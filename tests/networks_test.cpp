// Whole networks: parameter counts, gradients of NetA with every norm against the double reference, and
// golden trajectories from PyTorch in float64.

#include "layers/networks.hpp"

#include "layers/initialize.hpp"
#include "layers/optimizer.hpp"
#include "tests/reference/golden.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

using reference::Named;
using reference::Values;

struct Network {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Graph> graph;

  Network(const std::string& backend_name, const std::string& net, const std::string& norm,
          GraphOptions options, int threads = 2)
      : backend(testing::make_test_backend(backend_name, threads)),
        graph(std::make_unique<Graph>(*backend, Shape{1, 3, 32, 32})) {
    build_network(*graph, {net, Norm::parse(norm)});
    graph->setup(options);
  }
  void set(const Named& parameters) {
    for (const Parameter* p : graph->parameters()) {
      ASSERT_EQ(parameters.at(p->name).size(), p->count) << p->name;
      backend->to_device(testing::floats(parameters.at(p->name)).data(), graph->values() + p->offset,
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
  EXPECT_EQ(count("net_a", "gn:4"), 46010U);
  EXPECT_EQ(count("net_a", "rms"), 46010U - 224U);
  EXPECT_EQ(count("plain:10", "bn"), 3U * 32 * 9 + 9 * 32 * 32 * 9 + 10 * 64 + 330);
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
  for (const char* net : {"resnet", "plain:0", "plain:", "net_b"}) {
    EXPECT_THROW(Network("cpu_blocked", net, "bn", {}), UsageError) << net;
  }
}

class WholeNetwork : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

/// The reference takes the ReLU masks and pooling choices of the run under test, and each that it would have
/// made otherwise must have been close: then the gradients agree to 2e-5 in L2.
TEST_P(WholeNetwork, GradientsMatchTheReference) {
  const auto& [backend_name, norm] = GetParam();
  const reference::Network network = reference::net_a(norm);
  const Named parameters = [&] {
    Named named = reference::trajectory::initial_parameters(network);
    for (auto& [name, values] : named) testing::round_to_float(values);
    return named;
  }();
  constexpr int kSamples = 11;  // shards of 2 and 4 leave a rest
  reference::Tensor x(kSamples, 3, 32, 32);
  const reference::Tensor batch_of_32 = reference::trajectory::input(0);
  std::copy_n(batch_of_32.v.begin(), x.size(), x.v.begin());
  testing::round_to_float(x.v);
  std::vector<int> labels = reference::trajectory::label_batch(0);
  labels.resize(kSamples);

  Network ours(backend_name, "net_a", norm, {.batch = kSamples, .shard_samples = 4, .keep = true});
  ours.set(parameters);
  const std::vector<float> values = testing::floats(x.v);
  const std::vector<std::int32_t> targets(labels.begin(), labels.end());
  Batch batch;
  batch.count = kSamples;
  batch.values = values.data();
  batch.labels = targets.data();
  const PassResult pass = ours.graph->forward_backward(batch);

  reference::Decisions forced;
  for (const normlab::Node& node : ours.graph->nodes()) {
    const std::string& name = node.layer->name();
    const std::string block = name.substr(0, name.find('.'));
    const Shape shape = node.layer->y_shape().with_n(kSamples);
    if (name.ends_with(".norm") || name.ends_with(".relu")) {
      forced.relu[block + ".relu"] =
          reference::relu_mask(testing::tensor_of(shape, ours.graph->activation(name)));
    } else if (node.layer->kind() == "max_pool") {
      const std::string before = name == "p1" ? "c3.conv" : "c7.conv";
      forced.pool[name] = reference::max_pool_choices(
          testing::tensor_of({kSamples, shape.c, shape.h * 2, shape.w * 2}, ours.graph->activation(before)));
    }
  }
  reference::Options options;
  options.forced = &forced;
  const reference::Pass expected =
      reference::run(network, parameters, x, labels, reference::initial_running(network), options);
  EXPECT_LT(expected.forced_margin, 1e-5) << expected.forced_differences << " decisions differ";
  EXPECT_NEAR(pass.loss_sum / kSamples, expected.loss.loss, 1e-5 * expected.loss.loss);
  const Named gradients = ours.read(ours.graph->gradients());
  double difference = 0, size = 0;
  for (const auto& [name, values_of] : expected.gradients) {
    const double distance = reference::l2_distance(gradients.at(name), values_of);
    const double norm_of = reference::l2_norm(values_of);
    // Every slice must fit by itself, too, so that a small one cannot hide behind a large one.
    EXPECT_LE(distance, 1e-4 * norm_of + 1e-8) << name;
    difference += distance * distance;
    size += norm_of * norm_of;
  }
  EXPECT_LE(std::sqrt(difference), 2e-5 * std::sqrt(size));
}

INSTANTIATE_TEST_SUITE_P(NetA, WholeNetwork,
                         ::testing::Combine(::testing::ValuesIn(testing::backend_names(DataType::f32)),
                                            ::testing::Values("none", "bn", "ln", "ln-elementwise", "gn:4",
                                                              "in", "rms")),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" +
                                  testing::identifier(std::get<1>(info.param));
                         });

class Trajectory : public WholeNetwork {};

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
  for (int step = 0; step < 20; ++step) {
    const std::vector<float> values = testing::floats(reference::trajectory::input(step).v);
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
                                            ::testing::Values("none", "bn", "ln", "ln-elementwise", "gn:4",
                                                              "in", "rms")),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" +
                                  testing::identifier(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace normlab
