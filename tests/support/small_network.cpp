#include "tests/support/small_network.hpp"

#include <algorithm>

#include "layers/philox.hpp"

namespace normlab::test {

SmallNetwork::SmallNetwork(const std::string& backend_name, const std::string& norm, bool fuse, int threads)
    : network(reference::plain(3, norm, kSize, kSize, 8)),
      parameters(reference::trajectory::initial_parameters(network)),
      backend(make_test_backend(backend_name, threads)),
      graph(std::make_unique<Graph>(*backend, Shape{1, 3, kSize, kSize})) {
  // Channel 3 of the second block never passes its ReLU (RMS norm has no beta to see to that).
  if (norm == "none" || reference::Norm::parse(norm).has_beta()) {
    Values& shift = parameters.at(norm == "none" ? "b2.conv.bias" : "b2.norm.bias");
    const std::size_t pixels = shift.size() / 8;
    std::fill_n(shift.begin() + static_cast<std::ptrdiff_t>(3 * pixels), pixels, -50.0);
  }
  for (auto& [name, values] : parameters) round_to_float(values);
  input = draw(x.size(), 4);
  std::copy(input.begin(), input.end(), x.v.begin());
  for (int i = 0; i < kSamples; ++i) labels.push_back(i * 7 % 10);
  targets.assign(labels.begin(), labels.end());
  build_network(*graph, {.net = "plain:3", .norm = Norm::parse(norm), .width = 0.25, .fuse = fuse});
  graph->setup({.batch = kSamples, .shard_samples = 4, .precision = backend.precision});
  for (const Parameter* p : graph->parameters()) {
    const Values& values = parameters.at(p->name);
    reference::require(values.size() == p->count, "a parameter of another size");
    const std::vector<float> floats(values.begin(), values.end());
    backend->to_device(floats.data(), graph->values() + p->offset, floats.size() * sizeof(float));
  }
}

Batch SmallNetwork::batch() const {
  Batch all;
  all.count = kSamples;
  all.values = input.data();
  all.labels = targets.data();
  return all;
}

reference::Pass SmallNetwork::pass(const reference::Named& at) const {
  return reference::run(network, at, x, labels, reference::initial_running(network));
}

Values SmallNetwork::flat(const reference::Named& named) const {
  Values all(graph->parameter_count());
  for (const Parameter* p : graph->parameters()) {
    std::copy(named.at(p->name).begin(), named.at(p->name).end(),
              all.begin() + static_cast<std::ptrdiff_t>(p->offset));
  }
  return all;
}

std::vector<float> draw(std::size_t count, std::uint64_t seed, double mean) {
  Philox random(seed, Purpose::probe);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.normal() + mean);
  return values;
}

}  // namespace normlab::test
