#pragma once
// plain:3 with 8 channels on 8x8 images, as a graph and in the double reference, with random parameters.

#include "layers/networks.hpp"
#include "tests/reference/golden.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab::test {

using reference::Values;

std::vector<float> draw(std::size_t count, std::uint64_t seed, double mean = 0);

/// fuse: see NetworkOptions.
struct SmallNetwork {
  static constexpr int kSamples = 12, kSize = 8;
  reference::Network network;
  reference::Named parameters;
  reference::Tensor x{kSamples, 3, kSize, kSize};
  std::vector<int> labels;
  TestBackend backend;
  std::unique_ptr<Graph> graph;
  std::vector<float> input;
  std::vector<std::int32_t> targets;

  SmallNetwork(const std::string& backend_name, const std::string& norm, bool fuse, int threads = 2);

  [[nodiscard]] Batch batch() const;
  [[nodiscard]] reference::Pass pass(const reference::Named& at) const;
  [[nodiscard]] Values flat(const reference::Named& named) const;
};

}  // namespace normlab::test
