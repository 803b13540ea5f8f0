// What the graph promises whatever the layers: equal bits for any number of threads and for a second run, one
// result for any shard size, memory that does not grow with the batch, and checks.

#include "layers/graph.hpp"

#include <filesystem>
#include <map>

#include "layers/conv2d.hpp"
#include "layers/initialize.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/norm_names.hpp"

namespace normlab {
namespace {

struct Trained {
  std::vector<float> values, states;
  std::vector<double> losses, norms;
  std::int64_t correct = 0;

  bool operator==(const Trained&) const = default;
};

constexpr int kBatch = 25, kEvaluation = 27;

/// Three steps, the last one of a smaller batch, then an evaluation. before_pass: called with the number of
/// the pass.
Trained train(
    const std::string& norm, int threads, int shard_samples = 0, const std::string& net = "net_a",
    DataType precision = DataType::f32,
    const std::function<void(Backend&, int)>& before_pass = [](Backend&, int) {}) {
  const auto backend = test::make_test_backend("cpu_blocked", threads);
  Graph graph(*backend, {1, 3, 32, 32});
  build_network(graph, {net, Norm::parse(norm), 0.5});
  graph.setup({.batch = kBatch,
               .evaluation_batch = kEvaluation,
               .shard_samples = shard_samples,
               .precision = precision});
  initialize(graph, Initialization::he, 3);
  Optimizer optimizer(graph, {});
  std::vector<float> values(kEvaluation * graph.sample().per_sample());
  std::vector<std::int32_t> labels(kEvaluation);
  Philox random(8, Purpose::probe);
  for (float& value : values) value = static_cast<float>(random.normal());
  for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(10));
  Batch batch;
  batch.values = values.data();
  batch.labels = labels.data();
  Trained trained;
  for (const int count : {kBatch, kBatch, 5}) {
    batch.count = count;
    before_pass(*backend, static_cast<int>(trained.norms.size()));
    const PassResult pass = graph.forward_backward(batch);
    trained.losses.push_back(pass.loss_sum);
    trained.correct += pass.correct;
    trained.norms.push_back(optimizer.step({0.05, 0.9}));
  }
  batch.count = kEvaluation;
  before_pass(*backend, 3);
  trained.losses.push_back(graph.evaluate(batch).loss_sum);
  trained.values.assign(graph.values(), graph.values() + graph.parameter_count());
  trained.states.assign(graph.state_values(), graph.state_values() + graph.state_count());
  return trained;
}

/// What one thread makes of it, computed once.
const Trained& by_one_thread(const std::string& norm) {
  static std::map<std::string, Trained> known;
  const auto found = known.find(norm);
  return found != known.end() ? found->second : known.emplace(norm, train(norm, 1)).first->second;
}

class GraphNorms : public ::testing::TestWithParam<std::string> {};

TEST_P(GraphNorms, EqualBitsForAnyNumberOfThreads) {
  const Trained& one = by_one_thread(GetParam());
  for (const double loss : one.losses) EXPECT_TRUE(std::isfinite(loss));
  for (const int threads : {2, 7}) EXPECT_TRUE(train(GetParam(), threads) == one) << threads << " threads";
}

TEST_P(GraphNorms, EqualBitsWhenWorkersComeAndGoBetweenPasses) {
  const Trained& one = by_one_thread(GetParam());
  for (const std::array<int, 4>& active : {std::array{1, 3, 7, 2}, std::array{5, 1, 1, 7}}) {
    const auto change = [&](Backend& backend, int pass) {
      backend.set_active_workers(active[static_cast<std::size_t>(pass)]);
    };
    EXPECT_TRUE(train(GetParam(), 7, 0, "net_a", DataType::f32, change) == one);
  }
}

TEST_P(GraphNorms, EqualBitsWhenRunTwice) {
  EXPECT_TRUE(train(GetParam(), 1) == by_one_thread(GetParam()));
}

TEST_P(GraphNorms, EqualBitsInBf16) {
  const auto backend = test::make_test_backend("cpu_blocked");
  if (const std::string missing = backend->why_not(DataType::bf16); !missing.empty()) GTEST_SKIP() << missing;
  const Trained one = train(GetParam(), 1, 0, "net_a", DataType::bf16);
  for (const double loss : one.losses) EXPECT_TRUE(std::isfinite(loss));
  EXPECT_FALSE(one == by_one_thread(GetParam()));
  for (const int threads : {1, 2, 7}) {
    EXPECT_TRUE(train(GetParam(), threads, 0, "net_a", DataType::bf16) == one) << threads << " threads";
  }
}

TEST_P(GraphNorms, AnyShardSizeGivesTheSameUpToRounding) {
  const Trained& base = by_one_thread(GetParam());
  for (const int shard : {1, 3, 8}) {
    const Trained other = train(GetParam(), 1, shard);
    EXPECT_NEAR(other.losses[0], base.losses[0], 1e-5 * base.losses[0]) << "shards of " << shard;
    EXPECT_NEAR(other.norms[0], base.norms[0], 1e-3 * base.norms[0])
        << "shards of " << shard;  // a ReLU may flip
  }
}

INSTANTIATE_TEST_SUITE_P(Norms, GraphNorms, ::testing::ValuesIn(test::norm_names()),
                         [](const auto& info) { return test::identifier(info.param); });

TEST(Graph, OneGroupIsLayerNormAndAGroupAChannelIsInstanceNorm) {
  EXPECT_TRUE(train("gn:1", 1) == by_one_thread("ln"));
  EXPECT_TRUE(train("gn:16", 1, 0, "plain:4") == train("in", 1, 0, "plain:4"));  // 16 channels at half width
  EXPECT_FALSE(train("gn:2", 1) == by_one_thread("ln"));
}

TEST(Graph, ResidualNetworksTrainToo) {
  for (const DataType precision : {DataType::f32, DataType::bf16}) {
    const auto backend = test::make_test_backend("cpu_blocked");
    if (!backend->why_not(precision).empty()) continue;
    for (const char* norm : {"bn", "gn:4", "none"}) {
      const Trained one = train(norm, 1, 0, "resnet:8", precision);
      for (const double loss : one.losses) EXPECT_TRUE(std::isfinite(loss)) << norm;
      EXPECT_TRUE(one == train(norm, 3, 0, "resnet:8", precision)) << norm;
    }
  }
}

TEST(Graph, PlainNetworksTrainToo) {
  EXPECT_TRUE(train("gn:4", 1, 0, "plain:5") == train("gn:4", 3, 0, "plain:5"));
}

TEST(Graph, MemoryDoesNotGrowWithTheBatchUnlessSamplesAreCoupled) {
  const auto memory = [](const char* norm, int batch) {
    const auto backend = test::make_test_backend("cpu_blocked", 2);
    Graph graph(*backend, {1, 3, 32, 32});
    build_network(graph, {"net_a", Norm::parse(norm)});
    graph.setup({.batch = batch});
    return static_cast<double>(graph.memory_bytes()) / 1e6;
  };
  for (const char* norm : {"none", "ln", "gn:4", "in", "rms"}) {
    EXPECT_LT(memory(norm, 2048) - memory(norm, 128), 1.0) << norm << ", in MB";
  }
  EXPECT_GT(memory("bn", 256), 1.8 * memory("bn", 128));
}

TEST(Graph, Bf16HalvesWhatIsKeptOfABatch) {
  const auto backend = test::make_test_backend("cpu_blocked", 2);
  if (const std::string missing = backend->why_not(DataType::bf16); !missing.empty()) GTEST_SKIP() << missing;
  const auto memory = [&](DataType precision) {
    Graph graph(*backend, {1, 3, 32, 32});
    build_network(graph, {"net_a", Norm::parse("bn")});
    graph.setup({.batch = 256, .precision = precision});
    return static_cast<double>(graph.memory_bytes());
  };
  EXPECT_LT(memory(DataType::bf16), 0.55 * memory(DataType::f32));
}

TEST(Graph, ABatchLargerThanBookedIsRefused) {
  const auto backend = test::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, 3, 32, 32});
  build_network(graph, {"net_a", Norm::parse("bn")});
  graph.setup({.batch = 4});
  Batch batch;
  batch.count = 5;
  EXPECT_THROW(graph.forward_backward(batch), Error);
}

TEST(Graph, WantsALossAtItsEndAndOneSetup) {
  const auto backend = test::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, 3, 8, 8});
  const int y =
      graph.add(std::make_unique<Conv2d>("conv", Conv2d::Options{4, 3, 1, 1, false}), graph.input());
  EXPECT_THROW(graph.setup({}), Error);
  graph.add(std::make_unique<ProbeLoss>(), y);
  graph.setup({});
  EXPECT_THROW(graph.setup({}), Error);
  EXPECT_THROW(static_cast<void>(graph.activation("conv")), Error);  // nothing is kept
}

TEST(ThreadPool, RunsEveryTaskOnceAndReportsTheFirstException) {
  for (const int workers : {1, 2, 5}) {
    ThreadPool pool(workers);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> done(23);
      pool.run(23, [&](int task, int worker) {
        EXPECT_LT(worker, workers);
        ++done[static_cast<std::size_t>(task)];
      });
      for (const std::atomic<int>& count : done) ASSERT_EQ(count, 1);
    }
    EXPECT_THROW(pool.run(9,
                          [](int task, int) {
                            if (task == 3) throw Error("task 3");
                          }),
                 Error);
    int after = 0;
    pool.run(1, [&](int, int) { ++after; });
    EXPECT_EQ(after, 1);
  }
}

TEST(ThreadPool, WorkersComeAndGo) {
  ThreadPool pool(6);
  EXPECT_EQ(pool.active(), 6);
  for (const int active : {1, 4, 2, 6, 6, 1, 3}) {
    pool.set_active(active);
    EXPECT_EQ(pool.active(), active);
    std::atomic<int> done = 0;
    for (int round = 0; round < 20; ++round) {
      pool.run(40, [&](int, int worker) {
        EXPECT_LT(worker, active);
        ++done;
      });
    }
    EXPECT_EQ(done, 20 * 40);
  }
  pool.set_active(0);
  EXPECT_EQ(pool.active(), 1);
  pool.set_active(100);
  EXPECT_EQ(pool.active(), 6);
}

TEST(ThreadPool, WorkersThatAreNotActiveTakeNoTime) {
  ThreadPool pool(4);
  pool.set_active(1);
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  const auto before = threads();
  pool.run(8, [](int, int) {});
  EXPECT_EQ(threads(), before);
  pool.set_active(4);
  pool.run(8, [](int, int) {});
  EXPECT_EQ(threads(), before + 3);
  pool.set_active(2);
  pool.run(8, [](int, int) {});
  EXPECT_LE(threads(), before + 3);  // the kernel may still list a thread that was joined
}

}  // namespace
}  // namespace normlab
