// What a graph shows of itself.

#include <algorithm>

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
  const std::size_t per_sample = view_.shapes[static_cast<std::size_t>(value)].per_sample();
  std::vector<float> all(static_cast<std::size_t>(last_count_) * per_sample);
  Frame frame;
  frame.training = true;
  for (int first = 0; first < last_count_; first += shard_samples_, ++frame.shard) {
    const int samples = std::min(shard_samples_, last_count_ - first);
    backend_.download(tensor(slot, value, frame, samples),
                      all.data() + static_cast<std::size_t>(first) * per_sample);
  }
  return all;
}

std::vector<float> Graph::activation(const std::string& layer) {
  const int value = value_of(layer);
  return read(training_.activation(value), value);
}

std::vector<float> Graph::gradient(const std::string& layer) {
  const int value = value_of(layer);
  const std::vector<Edge>& edges = view_.consumers[static_cast<std::size_t>(value)];
  if (edges.empty() || !view_.needs_grad[static_cast<std::size_t>(value)]) {
    throw Error("Graph: the output of '{}' has no gradient", layer);
  }
  return read(training_.gradient(edges.front()), value);
}

std::size_t Graph::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Buffer* buffer :
       {&values_, &gradients_, &states_, &packed_, &lanes_, &worker_arenas_, &shard_arenas_, &scratch_,
        &loss_buffer_, &predicted_buffer_, &confidence_buffer_}) {
    bytes += buffer->bytes();
  }
  return bytes;
}

PassResult Graph::read_results(const Batch& batch) {
  if (batch.labels == nullptr) return {0, 0, batch.count};
  const Range range(backend_, "results");
  start(0);
  auto* sum = reinterpret_cast<StepSums*>(result_buffer_.data());
  const SampleResults found = results();
  backend_.get<StepKernels>().add_results(
      {found.loss, found.predicted, batch.labels, batch.count, true, sum});
  StepSums result;
  backend_.to_host(sum, &result, sizeof result);
  lap(0, Profile::kStep, Phase::reduce);
  return {result.loss_sum, static_cast<int>(result.correct), batch.count};
}

SampleResults Graph::results() const {
  return {loss_buffer_.floats(), reinterpret_cast<std::int32_t*>(predicted_buffer_.data()),
          confidence_buffer_.floats()};
}

std::vector<std::int32_t> Graph::predicted() const {
  std::vector<std::int32_t> values(static_cast<std::size_t>(last_count_));
  backend_.to_host(predicted_buffer_.data(), values.data(), values.size() * sizeof(std::int32_t));
  return values;
}

std::vector<float> Graph::confidence() const {
  std::vector<float> values(static_cast<std::size_t>(last_count_));
  backend_.to_host(confidence_buffer_.data(), values.data(), values.size() * sizeof(float));
  return values;
}

}  // namespace normlab
