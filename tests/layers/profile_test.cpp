// A profile accounts for all of the workers' time, knows every layer's phases, and changes no result.

#include "layers/profile.hpp"

#include <map>
#include <set>

#include "layers/initialize.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

constexpr int kBatch = 37;

/// A small network and a batch of noise for it.
struct Training {
  Training(const std::string& norm, const std::string& net, int threads)
      : backend(test::make_test_backend("cpu_blocked", threads)),
        graph(*backend, {1, 3, 32, 32}),
        values(kBatch * graph.sample().per_sample()),
        labels(kBatch) {
    build_network(graph, {net, Norm::parse(norm), 0.5});
    graph.setup({.batch = kBatch, .evaluation_batch = kBatch});
    initialize(graph, Initialization::he, 3);
    optimizer = std::make_unique<Optimizer>(graph, OptimizerOptions{});
    Philox random(8, Purpose::probe);
    for (float& value : values) value = static_cast<float>(random.normal());
    for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(10));
    batch.count = kBatch;
    batch.values = values.data();
    batch.labels = labels.data();
  }

  void step() {
    graph.forward_backward(batch);
    optimizer->step({0.05, 0.9});
  }
  [[nodiscard]] Profile profile() const {
    return {backend->workers(), static_cast<int>(graph.nodes().size())};
  }

  test::TestBackend backend;
  Graph graph;
  std::vector<float> values;
  std::vector<std::int32_t> labels;
  Batch batch;
  std::unique_ptr<Optimizer> optimizer;
};

/// Phases in which a layer spent time.
std::set<Phase> phases_of(const Profile& profile, int layer) {
  std::set<Phase> phases;
  for (const Phase phase : kPhases) {
    if (profile.seconds(layer, phase) > 0) phases.insert(phase);
  }
  return phases;
}

class ProfiledTraining : public ::testing::TestWithParam<std::tuple<std::string, int>> {};

TEST_P(ProfiledTraining, PhasesAndWaitingAreAllOfTheWorkersTime) {
  const auto [norm, threads] = GetParam();
  Training training(norm, "net_a", threads);
  Profile profile = training.profile();
  training.graph.set_profile(&profile);
  for (int i = 0; i < 3; ++i) training.step();
  double sum = 0;
  for (const Phase phase : kPhases) {
    sum += profile.seconds(phase);
    if (phase == Phase::wait) continue;
    double of_layers = 0;
    for (int layer = Profile::kStep; layer < profile.layers(); ++layer)
      of_layers += profile.seconds(layer, phase);
    EXPECT_NEAR(profile.seconds(phase), of_layers, 1e-9) << phase_name(phase);
  }
  EXPECT_GT(profile.wall_seconds(), 0);
  EXPECT_NEAR(sum, threads * profile.wall_seconds(), 1e-8);
  // Negative if any stretch of time were charged twice.
  EXPECT_GE(profile.seconds(Phase::wait), 0);
}

TEST_P(ProfiledTraining, ChangesNoBit) {
  const auto [norm, threads] = GetParam();
  const auto parameters = [&](bool profiled) {
    Training training(norm, "net_a", threads);
    Profile profile = training.profile();
    if (profiled) training.graph.set_profile(&profile);
    for (int i = 0; i < 3; ++i) training.step();
    return std::vector<float>(training.graph.values(),
                              training.graph.values() + training.graph.parameter_count());
  };
  EXPECT_EQ(parameters(true), parameters(false));
}

INSTANTIATE_TEST_SUITE_P(Norms, ProfiledTraining,
                         ::testing::Combine(::testing::Values("none", "bn", "ln-elementwise", "gn:4"),
                                            ::testing::Values(1, 2, 5)),
                         [](const auto& info) {
                           return test::identifier(std::get<0>(info.param)) + "_" +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST(Profile, EveryLayerHasItsPhases) {
  const std::set<Phase> ways{Phase::forward, Phase::backward_data};
  const std::set<Phase> norm{Phase::norm_forward, Phase::norm_backward};
  const std::map<std::string, std::set<Phase>> expected{
      {"conv2d", {Phase::forward, Phase::backward_data, Phase::backward_weights}},
      {"linear", {Phase::forward, Phase::backward_data, Phase::backward_weights}},
      {"batch_norm", norm},
      {"group_norm", norm},
      {"relu", ways},
      {"max_pool", ways},
      {"global_avg_pool", ways},
      {"softmax_cross_entropy", {Phase::forward}}};
  for (const char* kind : {"none", "bn", "gn:4"}) {
    Training training(kind, "plain:3", 2);
    Profile profile = training.profile();
    training.graph.set_profile(&profile);
    training.step();
    for (int i = 0; i < profile.layers(); ++i) {
      const Layer& layer = *training.graph.nodes()[static_cast<std::size_t>(i)].layer;
      std::set<Phase> phases = phases_of(profile, i);
      for (const Phase brief : {Phase::prepare, Phase::reduce})
        phases.erase(brief);  // nothing to do for some
      std::set<Phase> wanted = expected.at(layer.kind());
      if (i == 0) wanted.erase(Phase::backward_data);  // nobody asks for the gradient of the input
      EXPECT_EQ(phases, wanted) << layer.name();
    }
    EXPECT_EQ(phases_of(profile, Profile::kStep),
              (std::set<Phase>{Phase::data, Phase::reduce, Phase::optimizer}));
  }
}

TEST(Profile, EvaluationGoesForwardOnly) {
  Training training("bn", "net_a", 2);
  Profile profile = training.profile();
  training.graph.set_profile(&profile);
  training.graph.evaluate(training.batch);
  for (const Phase phase : {Phase::backward_data, Phase::backward_weights, Phase::norm_backward}) {
    EXPECT_EQ(profile.seconds(phase), 0) << phase_name(phase);
  }
  EXPECT_GT(profile.seconds(Phase::norm_forward), 0);
}

TEST(Profile, StopsWhenItIsTakenAway) {
  Training training("gn:4", "net_a", 1);
  Profile profile = training.profile();
  training.graph.set_profile(&profile);
  training.step();
  const double before = profile.wall_seconds(), forward = profile.seconds(Phase::forward);
  training.graph.set_profile(nullptr);
  training.step();
  EXPECT_EQ(profile.wall_seconds(), before);
  EXPECT_EQ(profile.seconds(Phase::forward), forward);
}

/// A device whose work takes as long as there have been marks.
class CountingClock : public DeviceClock {
 public:
  void mark() override { ++marks_; }
  std::vector<double> intervals() override {
    std::vector<double> seconds;
    for (int i = 1; i < marks_; ++i) seconds.push_back(i);
    marks_ = 0;
    return seconds;
  }

 private:
  int marks_ = 0;
};

TEST(Profile, ADevicesClockChargesWhatStandsBetweenItsMarks) {
  Profile profile(1, 2, std::make_unique<CountingClock>());
  {
    const Profile::Wall wall(&profile);      // mark 1
    profile.start(0);                        // mark 2: the second before it is nobody's
    profile.lap(0, 0, Phase::forward);       // 2 s
    profile.lap(0, 1, Phase::norm_forward);  // 3 s
    profile.start(0);                        // 4 s
    profile.lap(0, 0, Phase::forward);       // 5 s
    EXPECT_EQ(profile.seconds(0, Phase::forward), 0) << "known when the pass has ended";
  }
  EXPECT_EQ(profile.seconds(0, Phase::forward), 7);
  EXPECT_EQ(profile.seconds(1, Phase::norm_forward), 3);
  EXPECT_EQ(profile.wall_seconds(), 15);
  EXPECT_EQ(profile.seconds(Phase::wait), 5);
  EXPECT_THROW(Profile(2, 2, std::make_unique<CountingClock>()), Error);
}

TEST(Profile, OfAGpuKnowsEveryLayer) {
  for (const char* norm : {"none", "bn", "gn:2"}) {
    const auto backend = test::make_test_backend("cuda_emulated");
    Graph graph(*backend, {1, 3, 8, 8});
    build_network(graph, {"plain:2", Norm::parse(norm), 0.25});
    graph.setup({.batch = 2, .evaluation_batch = 2});
    initialize(graph, Initialization::he, 3);
    Optimizer optimizer(graph, OptimizerOptions{});
    Profile profile(1, static_cast<int>(graph.nodes().size()), backend->clock());
    graph.set_profile(&profile);
    const std::vector<float> values(2 * graph.sample().per_sample(), 0.5F);
    const std::vector<std::int32_t> labels{1, 2};
    Batch batch;
    batch.count = 2;
    batch.values = values.data();
    batch.labels = labels.data();
    graph.forward_backward(batch);
    (void)optimizer.step({0.05, 0.9});
    for (int i = 0; i < profile.layers(); ++i) {
      const Layer& layer = *graph.nodes()[static_cast<std::size_t>(i)].layer;
      EXPECT_GT(profile.seconds(i, layer.is_norm() ? Phase::norm_forward : Phase::forward), 0)
          << layer.name();
    }
    EXPECT_GT(profile.seconds(Profile::kStep, Phase::optimizer), 0);
    EXPECT_GT(profile.wall_seconds(), 0);
    EXPECT_GE(profile.seconds(Phase::wait), -1e-9);
  }
}

TEST(Profile, OfAnotherGraphIsRefused) {
  Training training("gn:4", "net_a", 2);
  Profile other(1, 3);
  EXPECT_THROW(training.graph.set_profile(&other), Error);
}

}  // namespace
}  // namespace normlab
