#include "experiments/measure/laws.hpp"

#include <algorithm>
#include <cmath>

#include "layers/as_size.hpp"
#include "layers/circular_pad.hpp"
#include "layers/conv2d.hpp"
#include "layers/diagnostics.hpp"
#include "layers/initialize.hpp"
#include "layers/philox.hpp"
#include "layers/similarity.hpp"
#include "layers/softmax_cross_entropy.hpp"

namespace normlab {

namespace {

/// Appends the network and returns the names of the blocks' outputs.
std::vector<std::string> build(Graph& graph, const LawNetwork& network) {
  std::vector<std::string> outputs;
  int x = graph.input();
  for (int i = 1; i <= network.depth; ++i) {
    const std::string name = fmt::format("b{}", i);
    if (network.circular) x = graph.add(std::make_unique<CircularPad>(name + ".pad"), x);
    const int padding = network.circular ? 0 : 1;
    x = graph.add(
        std::make_unique<Conv2d>(name + ".conv", Conv2d::Options{network.channels, 3, 1, padding, false}), x);
    x = add_norm_relu(graph, name, network.norm, network.channels, x);
    outputs.push_back(graph.nodes().back().layer->name());
  }
  graph.add(std::make_unique<ProbeLoss>(), x);
  return outputs;
}

}  // namespace

Laws measure_laws(Backend& backend, const LawNetwork& network, std::uint64_t seed) {
  if (network.depth < kGrowthLast) {
    throw Error(
        "laws at initialization: {} blocks are too few, the growth is taken from layer {} to layer {}",
        network.depth, kGrowthLast, kGrowthFirst);
  }
  Graph graph(backend, {1, 3, network.size, network.size});
  const std::vector<std::string> outputs = build(graph, network);
  graph.setup({.batch = network.samples, .evaluation_batch = 1, .keep = true});
  initialize(graph, Initialization::he, seed);

  const auto samples = as_size(network.samples);
  const auto pixels = as_size(network.size * network.size);
  std::vector<float> input(samples * 3 * pixels);
  std::vector<float> gradient(samples * as_size(network.channels) * pixels);
  Philox random(seed, Purpose::probe);
  for (std::vector<float>* values : {&input, &gradient})
    std::generate(values->begin(), values->end(), [&] { return static_cast<float>(random.normal()); });
  Batch batch;
  batch.count = network.samples;
  batch.values = input.data();
  batch.output_weights = gradient.data();
  graph.forward_backward(batch);

  Laws laws;
  const auto note = [](Laws::PerLayer& list, const std::string& name, double value) {
    list.names.push_back(name);
    list.values.push_back(value);
  };
  for (int i = 1; i <= network.depth; ++i) {
    const std::string convolution = fmt::format("b{}.conv", i);
    note(laws.convolution_grad_norm, convolution, l2_norm(graph.gradient(convolution)));
  }
  for (const std::string& output : outputs) {
    const std::vector<float> y = graph.activation(output);
    const Moments found = moments(y, {network.samples, network.channels, network.size, network.size});
    const Similarity similar = similarity(y, network.samples);
    note(laws.output_grad_norm, output, l2_norm(graph.gradient(output)));
    note(laws.activation_mean, output, found.mean);
    note(laws.activation_variance, output, found.variance);
    note(laws.cosines, output, similar.cosine);
    note(laws.stable_ranks, output, similar.stable_rank);
  }
  const auto at = [&](int layer) { return laws.convolution_grad_norm.values[as_size(layer - 1)]; };
  laws.growth = std::pow(at(kGrowthFirst) / at(kGrowthLast), 1.0 / (kGrowthLast - kGrowthFirst));
  laws.cosine = laws.cosines.values.back();
  laws.stable_rank = laws.stable_ranks.values.back();
  return laws;
}

}  // namespace normlab
