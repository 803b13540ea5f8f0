// Steps that the host does not wait for: replayed, done directly or done one by one by the host they give the
// same bits, on every backend; and between two of them the host neither waits nor allocates.

#include "layers/steps.hpp"

#include <algorithm>
#include <numeric>

#include "layers/initialize.hpp"
#include "layers/kernels/steps.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/norm_names.hpp"

namespace normlab {
namespace {

constexpr int kImages = 20, kBatch = 6, kSize = 8, kEpochs = 3;
constexpr int kSteps = (kImages + kBatch - 1) / kBatch;

struct Recipe {
  std::string norm = "none";
  OptimizerOptions optimizer{.kind = OptimizerOptions::Kind::sgd, .nesterov = true, .clip = 0.5};
  int part = kBatch;  ///< samples of a pass
};

enum class How { replayed, directly, by_the_host };

struct Trained {
  std::vector<float> values, states, first_moment, second_moment;
  std::vector<double> found;  ///< loss sum, correct, squared norm of each step

  bool operator==(const Trained&) const = default;
};

/// Rates that differ from step to step.
Rates rates_at(std::int64_t step) {
  return {0.02 / static_cast<double>(1 + step), 0.9 - 0.02 * static_cast<double>(step)};
}

/// A network in training on random images.
class Trainee {
 public:
  Trainee(const std::string& backend_name, const Recipe& recipe)
      : backend_(test::make_test_backend(backend_name)),
        recipe_(recipe),
        graph_(*backend_, {1, 3, kSize, kSize}),
        bytes_(*backend_, random_bytes(kImages * 3 * kSize * kSize, 256)),
        labels_(*backend_, host_labels_),
        images_{bytes_.data(), labels_.data(), kImages, 3, kSize, kSize} {
    build_network(graph_, {"plain:3", Norm::parse(recipe.norm), 0.25});
    graph_.setup({.batch = recipe.part, .precision = backend_.precision});
    initialize(graph_, Initialization::he, 3);
    optimizer_ = std::make_unique<Optimizer>(graph_, recipe.optimizer);
    like_.images = &images_;
    like_.mean = {0.5F, 0.48F, 0.45F};
    like_.std = {0.25F, 0.24F, 0.26F};
    like_.augmentation = {true, 7, 0};
    steps =
        std::make_unique<Steps>(*backend_, like_, kImages, kBatch, [this](int samples) { step(samples); });
  }

  void begin_epoch(int epoch) {
    order_.resize(kImages);
    std::iota(order_.begin(), order_.end(), 0U);
    for (std::size_t i = 0; i < order_.size(); ++i)  // another order each time
      order_[i] = (order_[i] * 7 + static_cast<std::uint32_t>(3 * epoch)) % kImages;
    std::vector<StepInput> rows;
    for (std::uint32_t first = 0; first < kImages; first += kBatch) {
      const std::int64_t step = (epoch - 1) * kSteps + static_cast<std::int64_t>(rows.size());
      rows.push_back(
          {first, static_cast<std::uint32_t>(epoch), optimizer_->rates_of(rates_at(step), step + 1)});
    }
    steps->load(order_, rows);
  }

  Trained train(How how) {
    Trained trained;
    for (int epoch = 1; epoch <= kEpochs; ++epoch) {
      begin_epoch(epoch);
      if (how == How::by_the_host) {
        for (int i = 0; i < kSteps; ++i) step_by_the_host(epoch, i, trained);
        continue;
      }
      if (how == How::replayed) steps->run(kSteps);
      for (int i = 0; how == How::directly && i < kSteps; ++i)
        steps->step([this](int samples) { step(samples); });
      for (const StepSums& sums : steps->results(0, kSteps)) {
        trained.found.insert(trained.found.end(), {sums.loss_sum, static_cast<double>(sums.correct),
                                                   std::sqrt(sums.squared_norm)});
      }
    }
    const auto read = [&](const float* from, std::size_t count) {
      std::vector<float> values(from == nullptr ? 0 : count);
      backend_->to_host(from, values.data(), values.size() * sizeof(float));
      return values;
    };
    trained.values = read(graph_.values(), graph_.parameter_count());
    trained.states = read(graph_.state_values(), graph_.state_count());
    trained.first_moment = read(optimizer_->first_moment(), graph_.parameter_count());
    trained.second_moment = read(optimizer_->second_moment(), graph_.parameter_count());
    return trained;
  }

 private:
  std::vector<std::uint8_t> random_bytes(std::size_t count, std::uint32_t below) {
    Philox random(8, Purpose::probe, below);
    std::vector<std::uint8_t> bytes(count);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(below));
    return bytes;
  }

  void step(int samples) {
    for (int first = 0; first < samples; first += recipe_.part) {
      const Batch batch = steps->take(first, std::min(recipe_.part, samples - first), samples);
      graph_.enqueue(batch, Graph::Pass::training);
      steps->add(graph_, batch);
    }
    optimizer_->update(steps->rates(), steps->squared_norm());
  }

  /// As it was always done: indices, labels and rates from the host, and every result back to it.
  void step_by_the_host(int epoch, int i, Trained& trained) {
    const std::size_t first = static_cast<std::size_t>(i) * kBatch;
    const int samples = std::min(kBatch, kImages - i * kBatch);
    double loss_sum = 0, correct = 0;
    for (int part = 0; part < samples; part += recipe_.part) {
      Batch batch = like_;
      batch.count = std::min(recipe_.part, samples - part);
      batch.whole = samples;
      batch.first_part = part;
      batch.indices = order_.data() + first + part;
      batch.augmentation.epoch = static_cast<std::uint32_t>(epoch);
      std::vector<std::int32_t> labels;
      for (int k = 0; k < batch.count; ++k) labels.push_back(host_labels_[batch.indices[k]]);
      batch.labels = labels.data();
      const PassResult found = graph_.forward_backward(batch);
      loss_sum += found.loss_sum;
      correct += found.correct;
    }
    trained.found.insert(trained.found.end(),
                         {loss_sum, correct, optimizer_->step(rates_at(optimizer_->steps()))});
  }

  test::TestBackend backend_;
  Recipe recipe_;
  Graph graph_;
  const std::vector<std::uint8_t> host_labels_ = random_bytes(kImages, 10);
  test::DeviceArray<std::uint8_t> bytes_, labels_;
  ImageSet images_;
  Batch like_;
  std::vector<std::uint32_t> order_;
  std::unique_ptr<Optimizer> optimizer_;

 public:
  std::unique_ptr<Steps> steps;
};

const std::vector<std::string> kNorms = test::norm_names(2);

class StepsOn : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

void expect_equal_bits(const std::string& backend, const Recipe& recipe) {
  const Trained replayed = Trainee(backend, recipe).train(How::replayed);
  const Trained directly = Trainee(backend, recipe).train(How::directly);
  const Trained by_the_host = Trainee(backend, recipe).train(How::by_the_host);
  EXPECT_TRUE(replayed == directly);
  EXPECT_EQ(replayed.found, by_the_host.found);
  EXPECT_TRUE(replayed == by_the_host);
  EXPECT_EQ(replayed.found.size(), 3U * kSteps * kEpochs);
  for (const double value : replayed.found) EXPECT_TRUE(std::isfinite(value));
  for (std::size_t i = 2; i < replayed.found.size(); i += 3) EXPECT_GT(replayed.found[i], 0) << "norm";
}

TEST_P(StepsOn, GiveTheBitsOfStepsByTheHost) {
  const auto& [backend, norm] = GetParam();
  expect_equal_bits(backend, {norm});
}

INSTANTIATE_TEST_SUITE_P(Backends, StepsOn,
                         ::testing::Combine(::testing::Values("cpu_blocked", "cuda_emulated",
                                                              "cuda_emulated_bf16"),
                                            ::testing::ValuesIn(kNorms)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param));
                         });

class StepsKinds : public ::testing::TestWithParam<std::string> {};

TEST_P(StepsKinds, AdamW) {
  expect_equal_bits(GetParam(),
                    {"bn", {.kind = OptimizerOptions::Kind::adamw, .weight_decay = 0.1, .clip = 0.5}});
}

TEST_P(StepsKinds, WithoutClipping) {
  expect_equal_bits(GetParam(), {"gn:2", {.clip = 0}});
}

TEST_P(StepsKinds, BatchesInParts) {
  expect_equal_bits(GetParam(), {.norm = "ln", .part = 4});
}

TEST_P(StepsKinds, RewoundStepsRepeat) {
  Trainee trainee(GetParam(), {});
  trainee.begin_epoch(1);
  const auto evaluate = [&] {
    for (trainee.steps->rewind(); trainee.steps->done() < kSteps;) {
      trainee.steps->step([&](int samples) { (void)trainee.steps->take(0, samples, samples); });
    }
  };
  evaluate();
  EXPECT_EQ(trainee.steps->done(), trainee.steps->count());
  evaluate();
  EXPECT_EQ(trainee.steps->samples(kSteps - 1), kImages % kBatch);
}

TEST_P(StepsKinds, RefuseWhatWasNotBooked) {
  const auto backend = test::make_test_backend(GetParam());
  const test::DeviceArray<std::uint8_t> bytes(*backend, 30);
  const ImageSet images{bytes.data(), bytes.data(), 10, 3, 1, 1};
  Batch like;
  like.images = &images;
  Steps steps(*backend, like, 10, 4, [](int) {});
  const std::vector<std::uint32_t> order(10), long_order(11);
  EXPECT_NO_THROW(steps.load(order, std::vector<StepInput>{{0, 1, {}}, {4, 1, {}}, {8, 1, {}}}));
  EXPECT_EQ(steps.samples(2), 2);
  EXPECT_THROW(steps.load(long_order, std::vector<StepInput>{{0, 1, {}}}), Error);
  EXPECT_THROW(steps.load(order, std::vector<StepInput>{{0, 1, {}}, {5, 1, {}}}), Error) << "a step of 5";
  EXPECT_THROW(steps.load(order, std::vector<StepInput>{{8, 1, {}}, {4, 1, {}}}), Error) << "backwards";
  EXPECT_THROW(steps.load(order, std::vector<StepInput>{{0, 1, {}}, {4, 1, {}}, {10, 1, {}}}), Error);
}

TEST_P(StepsKinds, SumsAreThoseOfAllSamples) {
  const auto backend = test::make_test_backend(GetParam());
  for (const int count : {1, 31, 32, 255, 256, 257, 1000}) {
    const auto size = static_cast<std::size_t>(count);
    std::vector<float> loss(size);
    std::vector<std::int32_t> predicted(size), labels(size);
    double expected = 0;
    std::int64_t correct = 0;
    for (std::size_t i = 0; i < size; ++i) {
      loss[i] = static_cast<float>(i % 97) + 0.25F;  // sums are exact
      predicted[i] = static_cast<std::int32_t>(i % 10);
      labels[i] = static_cast<std::int32_t>(i % 3);
      expected += static_cast<double>(loss[i]);
      correct += predicted[i] == labels[i] ? 1 : 0;
    }
    const test::DeviceArray<float> l(*backend, loss);
    const test::DeviceArray<std::int32_t> p(*backend, predicted), t(*backend, labels);
    const test::DeviceArray<StepSums> sum(*backend, {{1e9, 4.0, 77}});
    for (int part = 0; part < 2; ++part) {
      backend->get<StepKernels>().add_results({l.data(), p.data(), t.data(), count, part == 0, sum.data()});
      const StepSums found = sum.read()[0];
      EXPECT_EQ(found.loss_sum, expected * (part + 1)) << count;
      EXPECT_EQ(found.correct, correct * (part + 1)) << count;
      EXPECT_EQ(found.squared_norm, 4.0) << "is another's";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, StepsKinds,
                         ::testing::Values("cpu_blocked", "cuda_emulated", "cuda_emulated_bf16"),
                         [](const auto& info) { return info.param; });

class StepsWithoutTheHost : public ::testing::TestWithParam<std::string> {};

TEST_P(StepsWithoutTheHost, NeitherWaitNorAllocate) {
  Trainee trainee("cuda_emulated", {GetParam()});
  for (int epoch = 1; epoch <= kEpochs; ++epoch) {
    trainee.begin_epoch(epoch);
    if (epoch == 1) trainee.steps->run(1);  // books the workspace
    const simt::Counters before = simt::counters();
    trainee.steps->run(kSteps - trainee.steps->done());
    const simt::Counters after = simt::counters();
#ifdef NORMLAB_CHECKED  // outputs of direct steps are filled with NaN first, which waits
    const bool waits = epoch == 1;
#else
    const bool waits = false;
#endif
    EXPECT_EQ(after.synchronizations > before.synchronizations, waits) << "epoch " << epoch;
    EXPECT_EQ(after.allocations, before.allocations) << "epoch " << epoch;
    EXPECT_EQ(after.frees, before.frees) << "epoch " << epoch;
    // The last, smaller batch is done directly once; it has a recording of its own.
    EXPECT_EQ(after.graph_launches - before.graph_launches, epoch == 1 ? kSteps - 2 : kSteps);
    EXPECT_EQ(after.direct_launches == before.direct_launches, epoch > 1);
    const simt::Counters reading = simt::counters();
    (void)trainee.steps->results(0, kSteps);
    EXPECT_EQ(simt::counters().synchronizations, reading.synchronizations + 1) << "one read";
  }
}

INSTANTIATE_TEST_SUITE_P(Norms, StepsWithoutTheHost, ::testing::ValuesIn(kNorms),
                         [](const auto& info) { return test::identifier(info.param); });

}  // namespace
}  // namespace normlab
