// A run in which something is not finite ends as diverged, wherever it is, and its message names it.

#include <gtest/gtest.h>

#include <limits>

#include "experiments/training/finite.hpp"
#include "host/record/run_results.hpp"
#include "host/record/safetensors.hpp"
#include "tests/support/small_training.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(NotFinite, TextNamesTheFirstAndCountsTheRest) {
  const std::vector<std::string> names{"the loss", "a", "b", "c", "d", "e"};
  const auto text = [&](std::size_t count) { return not_finite_text(std::span(names).first(count)); };
  EXPECT_EQ(text(1), "the loss is not finite");
  EXPECT_EQ(text(2), "the loss and a are not finite");
  EXPECT_EQ(text(4), "the loss, a, b and c are not finite");
  EXPECT_EQ(text(5), "the loss, a, b and 2 more are not finite");
  EXPECT_EQ(text(6), "the loss, a, b and 3 more are not finite");
}

/// Every array of a network by itself, its first and its last value.
TEST(NotFinite, FindsEveryArray) {
  const auto backend = test::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, 3, 16, 16});
  build_network(graph, {"net_a", Norm::parse("bn")});
  graph.setup({.batch = 2});
  initialize(graph, Initialization::he, 0);
  EXPECT_TRUE(not_finite(graph).empty());
  int arrays = 0;
  const auto try_all = [&](const auto& list, float* flat) {
    for (const auto* array : list) {
      for (const std::size_t at : {array->offset, array->offset + array->count - 1}) {
        for (const float bad : {kNaN, std::numeric_limits<float>::infinity()}) {
          const float before = std::exchange(flat[at], bad);
          EXPECT_EQ(not_finite(graph), std::vector<std::string>{array->name});
          flat[at] = before;
        }
      }
      ++arrays;
    }
  };
  try_all(graph.parameters(), graph.values());
  try_all(graph.states(), graph.state_values());
  EXPECT_EQ(arrays, 11 + 1 + 8 * 4);  // weights, a bias, four arrays of each norm
}

class Divergence : public ::testing::TestWithParam<std::string> {
 protected:
  /// A run that went on from a checkpoint, after the first epoch but for its evaluation, one value of which
  /// was `bad`.
  RunResults with(const char* array, float bad, int epochs = 2) {
    StudyOptions options = test::small_options();
    options.epochs = epochs;
    const RunSpec spec = run_of(options, Norm::parse("bn"), 0);
    const auto checkpoint = directory_ / "run/checkpoint.safetensors";
    const auto saved = [&] {
      return std::filesystem::exists(checkpoint) &&
             read_safetensors(checkpoint).find("position.counters")->integers()[2] == test::kSteps;
    };
    int calls = 0;
    for (int most = 2; !saved(); ++most) {
      try {
        (void)train(options, spec, calls, most);
      } catch (const test::Stopped&) {
      }
    }
    TensorFile file = read_safetensors(checkpoint);
    for (NamedTensor& tensor : file.tensors) {
      if (tensor.name != array) continue;
      std::vector<float> values = tensor.floats();
      values.back() = bad;
      tensor = NamedTensor::of(tensor.name, tensor.shape, std::span<const float>(values));
    }
    write_safetensors(checkpoint, file);
    outcome_ = train(options, spec, calls).status;
    return read_run(directory_ / "run");
  }
  RunOutcome train(const StudyOptions& options, const RunSpec& spec, int& calls, int most = 1 << 30) {
    return test::train_in(directory_ / "run", GetParam(), options, spec, data_, calls, most);
  }

  test::TemporaryDirectory directory_;
  const Dataset data_ = test::small_dataset();
  RunOutcome::Status outcome_ = RunOutcome::Status::done;
};

/// Training does not read running statistics, so only a look at the network (or an evaluation, where the
/// device's ReLU passes NaN on) finds this.
TEST_P(Divergence, ARunningStatisticThatIsNotFinite) {
  const RunResults run = with("c1.norm.running_var", kNaN);
  EXPECT_EQ(outcome_, RunOutcome::Status::diverged);
  EXPECT_EQ(run.status, "diverged");
  EXPECT_HAS(run.status_message, "c1.norm.running_var");
  EXPECT_HAS(run.status_message, " not finite; a lower learning rate or clipping may help");
  EXPECT_EQ(run.status_message.find("gradient"), std::string::npos) << run.status_message;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run/final.safetensors"));
}

TEST_P(Divergence, AParameterThatIsNotFinite) {
  const RunResults run = with("c1.conv.weight", kNaN);
  EXPECT_EQ(outcome_, RunOutcome::Status::diverged);
  EXPECT_EQ(run.status, "diverged");
  EXPECT_HAS(run.status_message, " not finite; ");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run/final.safetensors"));
}

/// The loss of an evaluation, and not of a step.
TEST_P(Divergence, ATestLossThatIsNotFinite) {
  const RunResults run = with("c11.conv.bias", std::numeric_limits<float>::infinity());
  EXPECT_EQ(run.status, "diverged");
  EXPECT_HAS(run.status_message, "diverged at step 4: the test loss after epoch 1");
  EXPECT_HAS(run.status_message, "c11.conv.bias");
}

TEST_P(Divergence, PredictionsThatAreNotFinite) {
  const RunResults run = with("c11.conv.bias", std::numeric_limits<float>::infinity(), 1);
  EXPECT_HAS(run.status_message,
             "the test loss after epoch 1, the confidence of 12 of 12 predictions and c11.conv.bias are not");
}

TEST_P(Divergence, FiniteValuesAreDone) {
  const RunResults run = with("c1.norm.running_var", 7);
  EXPECT_EQ(outcome_, RunOutcome::Status::done);
  EXPECT_EQ(run.status, "done");
}

INSTANTIATE_TEST_SUITE_P(Backends, Divergence, ::testing::Values("cpu_blocked", "cpu_nhwc", "cuda_emulated"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace normlab
