// A checkpoint holds all that the rest of a run depends on: training that goes on from one is the training
// that was never left, bit for bit.

#include "experiments/training/checkpoint.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "host/record/file.hpp"
#include "host/record/safetensors.hpp"
#include "layers/initialize.hpp"
#include "layers/networks.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::message_of;
using test::TemporaryDirectory;

struct Case {
  const char* norm;
  OptimizerOptions::Kind optimizer = OptimizerOptions::Kind::sgd;
  const char* backend = "cpu_blocked";
};

/// A small network in training.
class Training {
 public:
  explicit Training(const Case& c, const char* net = "net_a", std::uint64_t seed = 3)
      : backend_(test::make_test_backend(c.backend, 2)), graph_(*backend_, {1, 3, 16, 16}) {
    build_network(graph_, {net, Norm::parse(c.norm)});
    graph_.setup({.batch = 8, .precision = test::precision_of(c.backend)});
    initialize(graph_, Initialization::he, seed);
    optimizer_ = std::make_unique<Optimizer>(graph_, OptimizerOptions{c.optimizer});
  }

  /// Steps `first` to `last`, each on a batch that its number decides.
  void train(int first, int last) {
    for (int step = first; step <= last; ++step) {
      Philox random(99, Purpose::probe, static_cast<std::uint32_t>(step));
      std::vector<float> values(8 * graph_.sample().per_sample());
      for (float& value : values) value = static_cast<float>(random.normal());
      std::vector<std::int32_t> labels(8);
      for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(10));
      Batch batch;
      batch.count = 8;
      batch.values = values.data();
      batch.labels = labels.data();
      graph_.forward_backward(batch);
      optimizer_->step({0.02, 0.9});
    }
  }

  /// Everything that training changes.
  std::vector<float> everything() {
    std::vector<float> all;
    const auto add = [&](const float* device, std::size_t count) {
      if (device == nullptr) return;
      std::vector<float> values(count);
      backend_->to_host(device, values.data(), count * sizeof(float));
      all.insert(all.end(), values.begin(), values.end());
    };
    add(graph_.values(), graph_.parameter_count());
    add(graph_.state_values(), graph_.state_count());
    add(optimizer_->first_moment(), graph_.parameter_count());
    add(optimizer_->second_moment(), graph_.parameter_count());
    return all;
  }

  void save(const Position& position, const std::filesystem::path& path) {
    write_safetensors(path, checkpoint_of(graph_, *optimizer_, position, settings));
  }
  Position load(const std::filesystem::path& path) {
    return read_checkpoint(graph_, *optimizer_, path, settings);
  }

  RunConfig settings = RunConfig::parse("norm = \"bn\"\nseed = 0\n", "test");

 private:
  test::TestBackend backend_;
  Graph graph_;
  std::unique_ptr<Optimizer> optimizer_;
};

const Position kSomewhere{3, 640, 4, 9, 123.25, 77, 1.5, {40'000, 1234, 2}};

class Checkpoints : public ::testing::TestWithParam<Case> {};

TEST_P(Checkpoints, TrainingGoesOnBitForBit) {
  if (const std::string missing = test::why_not_here(GetParam().backend); !missing.empty())
    GTEST_SKIP() << missing;
  const TemporaryDirectory directory;
  Training whole(GetParam());
  whole.train(1, 7);
  {
    Training first(GetParam());
    first.train(1, 4);
    first.save(kSomewhere, directory / "c");
  }
  Training second(GetParam(), "net_a", 8);  // other values to begin with
  second.train(1, 2);
  EXPECT_EQ(second.load(directory / "c"), kSomewhere);
  second.train(5, 7);
  EXPECT_EQ(second.everything(), whole.everything());
}

INSTANTIATE_TEST_SUITE_P(Norms, Checkpoints,
                         ::testing::Values(Case{"none"}, Case{"bn"}, Case{"ln"}, Case{"ln-elementwise"},
                                           Case{"gn:4"}, Case{"in"}, Case{"rms"}, Case{"rms-elementwise"},
                                           Case{"bn", OptimizerOptions::Kind::adamw},
                                           Case{"gn:4", OptimizerOptions::Kind::adamw},
                                           Case{"bn", OptimizerOptions::Kind::sgd, "cpu_blocked_bf16"}),
                         [](const auto& info) {
                           std::string name = fmt::format(
                               "{}_{}_{}", info.param.norm,
                               info.param.optimizer == OptimizerOptions::Kind::sgd ? "sgd" : "adamw",
                               info.param.backend);
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return c == ':' || c == '-'; }, '_');
                           return name;
                         });

TEST(Checkpoint, OfAnythingElseIsRefusedAndChangesNothing) {
  const TemporaryDirectory directory;
  const auto path = directory / "c";
  Training bn({"bn"});
  bn.train(1, 2);
  bn.save(kSomewhere, path);
  const auto refusal = [&](const Case& c, const char* net) {
    Training other(c, net);
    other.train(1, 1);
    const auto before = other.everything();
    const std::string message = message_of([&] { static_cast<void>(other.load(path)); });
    EXPECT_EQ(other.everything(), before);
    return message;
  };
  EXPECT_HAS(refusal({"gn:4"}, "net_a"), "it has other arrays, too");
  EXPECT_HAS(refusal({"none"}, "net_a"), "it lacks 'c1.conv.bias'");
  EXPECT_HAS(refusal({"bn"}, "plain:3"), "it lacks 'b1.conv.weight'");
  EXPECT_HAS(refusal({"bn", OptimizerOptions::Kind::adamw}, "net_a"),
             "it lacks 'optimizer.c1.conv.weight.first_moment'");
  EXPECT_HAS(refusal({"ln-elementwise"}, "net_a"), "bytes of F32, not");

  // The arrays may be alike.
  const auto before = bn.everything();
  bn.settings.set("data", "elsewhere");
  bn.settings.set("epochs", 3);  // an option that did not exist then
  static_cast<void>(bn.load(path));
  bn.settings.set("seed", 1);
  EXPECT_HAS(message_of([&] { static_cast<void>(bn.load(path)); }),
             "it is of a run with seed 0, this one has 1");
  EXPECT_EQ(bn.everything(), before);
}

TEST(Checkpoint, DamageAndNewerVersionsAreNamed) {
  const TemporaryDirectory directory;
  Training training({"bn"});
  training.train(1, 1);
  training.save(kSomewhere, directory / "c");
  const auto before = training.everything();
  const auto refusal = [&](const TensorFile& file) {
    write_safetensors(directory / "x", file);
    return message_of([&] { static_cast<void>(training.load(directory / "x")); });
  };
  TensorFile file = read_safetensors(directory / "c");
  EXPECT_EQ(*file.metadata_of("configuration"), "norm = \"bn\"\nseed = 0\n");
  for (auto& [key, value] : file.metadata) {
    if (key == "normlab_checkpoint") value = "3";
  }
  EXPECT_HAS(refusal(file), "made by a newer Normlab");
  file.metadata.clear();
  EXPECT_HAS(refusal(file), "does not say that it is one");

  file = read_safetensors(directory / "c");
  for (NamedTensor& tensor : file.tensors) {
    if (tensor.name != "position.counters") continue;
    const std::int64_t zeros[8] = {};
    tensor = NamedTensor::of("position.counters", {8}, std::span<const std::int64_t>(zeros));
  }
  EXPECT_HAS(refusal(file), "its position makes no sense");

  auto bytes = test::read_bytes(directory / "c");
  bytes.back() ^= std::byte{1};
  atomic_write_file(directory / "y", bytes);
  EXPECT_HAS(message_of([&] { static_cast<void>(training.load(directory / "y")); }), "is damaged");
  EXPECT_EQ(training.everything(), before);
}

}  // namespace
}  // namespace normlab
