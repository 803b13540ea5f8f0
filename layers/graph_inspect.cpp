// What a graph shows of itself.

#include <algorithm>

#include "layers/as_size.hpp"
#include "layers/graph.hpp"
#include "layers/kernels/steps.hpp"
#include "layers/range.hpp"

namespace normlab {

std::vector<const Parameter*> Graph::parameters() const {
  std::vector<const Parameter*> all;
  for (const Node& node : nodes_) {
    for (const Parameter& parameter : std::as_const(*node.layer).parameters()) all.push_back(&parameter);
  }
  return all;
}

std::vector<const State*> Graph::states() const {
  std::vector<const State*> all;
  for (const Node& node : nodes_) {
    for (const State& state : std::as_const(*node.layer).states()) all.push_back(&state);
  }
  return all;
}

int Graph::value_of(const std::string& layer) const {
  if (layer == "input") return 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].layer->name() == layer) return static_cast<int>(i) + 1;
  }
  throw Error("Graph: no layer is called '{}'", layer);
}

std::vector<float> Graph::read(const Slot& slot, int value) {
  if (!options_.keep) throw Error("Graph: set up with `keep` to read activations and gradients");
  const std::size_t per_sample = view_.shapes[as_size(value)].per_sample();
  std::vector<float> all(as_size(last_count_) * per_sample);
  const ShardRunner runner(backend_, view_, memory_, training_, observer_, nullptr);
  Shard shard;
  for (; shard.first_sample < last_count_; shard.first_sample += shard_samples_, ++shard.number) {
    shard.samples = std::min(shard_samples_, last_count_ - shard.first_sample);
    backend_.download(runner.tensor(slot, value, shard),
                      all.data() + as_size(shard.first_sample) * per_sample);
  }
  return all;
}

std::vector<float> Graph::activation(const std::string& layer) {
  const int value = value_of(layer);
  return read(training_.activation(value), value);
}

std::vector<float> Graph::gradient(const std::string& layer) {
  const int value = value_of(layer);
  const std::vector<Edge>& edges = view_.consumers[as_size(value)];
  if (edges.empty() || !view_.needs_grad[as_size(value)]) {
    throw Error("Graph: the output of '{}' has no gradient", layer);
  }
  return read(training_.gradient(edges.front()), value);
}

PassResult Graph::read_results(const Batch& batch) {
  if (batch.labels == nullptr) return {0, 0, batch.count};
  const Range range(backend_, "results");
  start(0);
  auto* sum = reinterpret_cast<StepSums*>(memory_.sums());
  const SampleResults found = results();
  backend_.get<StepKernels>().add_results(
      {found.loss, found.predicted, batch.labels, batch.count, true, sum});
  StepSums result;
  backend_.to_host(sum, &result, sizeof result);
  lap(0, Profile::kStep, Phase::reduce);
  return {result.loss_sum, static_cast<int>(result.correct), batch.count};
}

std::vector<std::int32_t> Graph::predicted() const {
  std::vector<std::int32_t> values(as_size(last_count_));
  backend_.to_host(results().predicted, values.data(), values.size() * sizeof(std::int32_t));
  return values;
}

std::vector<float> Graph::confidence() const {
  std::vector<float> values(as_size(last_count_));
  backend_.to_host(results().confidence, values.data(), values.size() * sizeof(float));
  return values;
}

}  // namespace normlab
