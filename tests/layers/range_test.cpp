// What Nsight shows of a training step, on the emulated platform: ranges nest, every layer has its name in
// both halves, and every kernel of the step lies in one of them.

#include "layers/range.hpp"

#include <map>
#include <set>

#include "layers/initialize.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

constexpr int kBatch = 3, kSize = 8;

/// A small network on some backend, with a batch of constant images.
struct Training {
  Training(const std::string& backend_name, const std::string& net, const std::string& norm)
      : backend(test::make_test_backend(backend_name, 3)),
        graph(*backend, {1, 3, kSize, kSize}),
        pixels(*backend, kBatch * graph.sample().per_sample()) {
    build_network(graph, {net, Norm::parse(norm), 0.25});
    graph.setup({.batch = kBatch, .evaluation_batch = kBatch});
    initialize(graph, Initialization::he, 3);
    optimizer = std::make_unique<Optimizer>(graph, OptimizerOptions{});
    images = {pixels.data(), nullptr, kBatch, 3, kSize, kSize};
    batch.count = kBatch;
    batch.images = &images;
    batch.indices = indices.data();
    batch.std = {1, 1, 1};
    batch.labels = labels.data();
  }

  void step() {
    const Range range(*backend, "step");
    graph.forward_backward(batch);
    (void)optimizer->step({0.05, 0.9});
  }

  test::TestBackend backend;
  Graph graph;
  test::DeviceArray<std::uint8_t> pixels;
  ImageSet images;
  const std::array<std::uint32_t, kBatch> indices{0, 1, 2};
  const std::array<std::int32_t, kBatch> labels{3, 1, 4};
  Batch batch;
  std::unique_ptr<Optimizer> optimizer;
};

/// The ranges of one step, by where they stand: "step/forward/b1.conv" -> kernels and library calls in it.
std::map<std::string, std::uint64_t> ranges_of_step(const std::string& net, const std::string& norm) {
  Training training("cuda_emulated", net, norm);
  simt::clear_ranges();
  training.step();
  std::map<std::string, std::uint64_t> launches;
  std::vector<simt::Range> open;
  for (const simt::Range& range : simt::ranges()) {
    EXPECT_EQ(range.domain, "normlab");
    EXPECT_GT(range.end, range.begin) << range.name << " was not closed";
    while (!open.empty() && open.back().end < range.begin) open.pop_back();
    EXPECT_EQ(range.depth, static_cast<int>(open.size())) << range.name;
    if (!open.empty()) {
      EXPECT_LT(range.end, open.back().end) << range.name << " crosses " << open.back().name;
    }
    open.push_back(range);
    std::string path;
    for (const simt::Range& outer : open) path += (path.empty() ? "" : "/") + outer.name;
    launches[path] += range.launches;
  }
  simt::clear_ranges();
  return launches;
}

class Ranges : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(Ranges, NestAndNameEveryLayer) {
  const auto& [net, norm] = GetParam();
  const std::map<std::string, std::uint64_t> launches = ranges_of_step(net, norm);
  const Training training("cuda_emulated", net, norm);
  for (const Node& node : training.graph.nodes()) {
    const Layer& layer = *node.layer;
    for (const std::string half : {"forward", "backward"}) {
      const auto found = launches.find("step/" + half + "/" + layer.name());
      if (layer.is_loss() && half == "backward") continue;  // its gradient is written in the forward half
      ASSERT_NE(found, launches.end()) << layer.name() << ", " << half;
      if (layer.kind() == "add" && half == "backward") continue;  // copies, no kernels
      EXPECT_GT(found->second, 0U) << layer.name() << ", " << half;
    }
  }
  EXPECT_GT(launches.at("step/forward/images"), 0U);
  EXPECT_GT(launches.at("step/prepare/" + training.graph.nodes().front().layer->name()), 0U);
  EXPECT_GT(launches.at("step/optimizer"), 0U);
}

TEST_P(Ranges, EncloseEveryKernelOnce) {
  const auto& [net, norm] = GetParam();
  const std::map<std::string, std::uint64_t> launches = ranges_of_step(net, norm);
  // What a range holds beside the ranges in it, by its depth.
  const auto own = [&](const std::string& path) {
    std::uint64_t count = launches.at(path);
    for (const auto& [other, inner] : launches) {
      const bool is_child =
          other.starts_with(path + "/") && other.find('/', path.size() + 1) == std::string::npos;
      if (is_child) count -= inner;
    }
    return count;
  };
  for (const char* whole : {"step", "step/forward", "step/backward"})
    EXPECT_EQ(own(whole), 0U) << "kernels of " << whole << " that no narrower range names";
}

INSTANTIATE_TEST_SUITE_P(Networks, Ranges,
                         ::testing::Values(std::tuple{"net_a", "none"}, std::tuple{"net_a", "bn"},
                                           std::tuple{"net_a", "gn:2"}, std::tuple{"plain:2", "ln"},
                                           std::tuple{"resnet:8", "bn"}),
                         [](const auto& info) {
                           return test::identifier(std::get<0>(info.param) + "_" + std::get<1>(info.param));
                         });

TEST(Ranges, OfTheCpuAreNotShown) {
  simt::clear_ranges();
  Training training("cpu_blocked", "plain:2", "bn");
  training.step();
  EXPECT_TRUE(simt::ranges().empty());
}

TEST(Ranges, EndWhenWorkThrows) {
  const auto backend = test::make_test_backend("cuda_emulated");
  simt::clear_ranges();
  EXPECT_THROW(
      {
        const Range range(*backend, "step");
        HalfRange half(*backend);
        half.enter(false);
        throw Error("stop");
      },
      Error);
  ASSERT_EQ(simt::ranges().size(), 2U);
  for (const simt::Range& range : simt::ranges()) EXPECT_GT(range.end, 0U) << range.name;
  simt::clear_ranges();
}

TEST(Ranges, ProfilersAreToldWhenToRecord) {
  const auto backend = test::make_test_backend("cuda_emulated");
  EXPECT_EQ(simt::profiling(), 0);
  backend->set_profiling(true);
  EXPECT_EQ(simt::profiling(), 1);
  backend->set_profiling(false);
  EXPECT_EQ(simt::profiling(), 0);
}

}  // namespace
}  // namespace normlab
