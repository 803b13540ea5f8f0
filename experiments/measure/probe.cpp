#include "experiments/measure/probe.hpp"

#include <algorithm>
#include <cmath>

#include "host/record/diagnostic_channels.hpp"
#include "layers/as_size.hpp"
#include "layers/kernels/diagnostics.hpp"
#include "layers/similarity.hpp"

namespace normlab {

Probe::Probe(Graph& graph) : graph_(graph) {
  const std::vector<Node>& nodes = graph.nodes();
  const auto producer = [&](int value) {
    return value == 0 ? nullptr : nodes[as_size(value) - 1].layer.get();
  };
  has_norms_ =
      std::any_of(nodes.begin(), nodes.end(), [](const Node& node) { return node.layer->is_norm(); });
  values_.resize(nodes.size() + 1);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Layer& layer = *nodes[i].layer;
    const int value = static_cast<int>(i) + 1, input = nodes[i].inputs.front();
    values_[i + 1].shape = layer.y_shape().with_n(1);
    const bool is_relu = layer.kind() == "relu";
    if (is_relu) {
      const Layer* before = producer(input);
      outputs_.push_back(before != nullptr && before->is_norm() ? before->name() : layer.name());
      output_values_.push_back(value);
      values_[i + 1].outputs = true;
    }
    if (layer.is_norm() || (is_relu && !has_norms_)) {
      histogram_blocks_.emplace_back(block_of(layer.name()));
      before_values_.push_back(input);
      values_[as_size(input)].normed = true;
      if (layer.is_norm()) {
        after_values_.push_back(value);
        values_[i + 1].normed = true;
      }
    }
  }
}

void Probe::look(const Observation& seen, int batch) {
  const auto value = as_size(seen.value);
  const int samples = seen.tensor.shape.n;
  const std::size_t size = values_[value].shape.per_sample();
  Backend& backend = graph_.backend();
  if (seen.is_gradient) {
    if (!values_[value].outputs) return;
    float* gradient = gradient_.floats() + as_size(seen.worker) * values_of_worker();
    backend.unpack(seen.tensor, gradient);
    const std::vector<double> norms = backend.get<DiagnosticKernels>().row_norms(gradient, samples, size);
    std::copy(norms.begin(), norms.end(), gradient_norms_[value].begin() + seen.first_sample);
    return;
  }
  const Kept& kept = kept_[value];
  const int wanted = std::min(samples, std::min(kept.samples, batch) - seen.first_sample);
  if (wanted <= 0) return;
  Tensor part = seen.tensor;
  part.shape.n = wanted;
  backend.unpack(part, kept.values.floats() + as_size(seen.first_sample) * size);
}

std::vector<float> Probe::histogram_of(int value, int samples) const {
  const auto v = as_size(value);
  return graph_.backend().get<DiagnosticKernels>().histogram(
      kept_[v].values.floats(), values_[v].shape.with_n(samples).count(), kHistogramBins);
}

/// Of a shard of the largest value whose gradient is looked at.
std::size_t Probe::values_of_worker() const {
  std::size_t most = 0;
  for (const Value& value : values_) {
    if (value.outputs) most = std::max(most, value.shape.with_n(graph_.shard_samples()).count());
  }
  return most;
}

void Probe::book(int samples, int histogram_samples) {
  Backend& backend = graph_.backend();
  kept_.resize(values_.size());
  gradient_norms_.resize(values_.size());
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const int keeps = values_[v].outputs ? samples : values_[v].normed ? histogram_samples : 0;
    if (values_[v].outputs) gradient_norms_[v].resize(as_size(samples));
    if (keeps == kept_[v].samples) continue;
    kept_[v] = {keeps, Buffer(backend, values_[v].shape.with_n(keeps).count() * sizeof(float))};
  }
  const std::size_t bytes = as_size(backend.workers()) * values_of_worker() * sizeof(float);
  if (gradient_.bytes() != bytes) gradient_ = Buffer(backend, bytes);
}

ProbeFigures Probe::measure(const Batch& batch, int histogram_samples) {
  const int heads = std::min(histogram_samples, batch.count);
  book(batch.count, heads);
  graph_.set_observer([&](const Observation& seen) { look(seen, batch.count); });
  const PassResult pass = graph_.forward_backward(batch);
  graph_.set_observer(nullptr);

  ProbeFigures figures;
  figures.loss = pass.loss_sum / batch.count;
  const std::size_t blocks = outputs_.size(), norms = histogram_blocks_.size();
  for (std::vector<double>* each :
       {&figures.activation_mean, &figures.activation_variance, &figures.dead_fraction,
        &figures.output_grad_norm, &figures.cosine, &figures.stable_rank}) {
    each->resize(blocks);
  }
  figures.outliers.resize(blocks);
  figures.before.resize(norms);
  figures.after.resize(after_values_.size());
  // The largest blocks come first and last: dealt one by one, workers end together.
  Backend& backend = graph_.backend();
  backend.run(static_cast<int>(blocks + norms), [&](int task, int) {
    const auto i = as_size(task);
    if (i >= blocks) {
      figures.before[i - blocks] = histogram_of(before_values_[i - blocks], heads);
      if (has_norms_) figures.after[i - blocks] = histogram_of(after_values_[i - blocks], heads);
      return;
    }
    const auto v = as_size(output_values_[i]);
    const float* values = kept_[v].values.floats();
    const Shape& shape = values_[v].shape;
    const Moments found = backend.get<DiagnosticKernels>().moments(values, shape.with_n(batch.count));
    figures.activation_mean[i] = found.mean;
    figures.activation_variance[i] = found.variance;
    figures.dead_fraction[i] = found.dead_fraction;
    // Where memory is the device's convolutions may be Winograd's, which outliers hurt.
    if (backend.reads_host_memory())
      figures.outliers[i] = find_outlier({values, shape.with_n(batch.count).count()}, kOutlierTimes);
    double squares = 0;
    for (const double norm : gradient_norms_[v]) squares += norm * norm;
    figures.output_grad_norm[i] = std::sqrt(squares);
    const Similarity alike = similarity_of(
        backend.get<DiagnosticKernels>().gram(values, batch.count, shape.per_sample()), batch.count);
    figures.cosine[i] = alike.cosine;
    figures.stable_rank[i] = alike.stable_rank;
  });
  return figures;
}

std::size_t Probe::memory_bytes(int samples, int histogram_samples) const {
  std::size_t floats = as_size(graph_.backend().workers()) * values_of_worker();
  for (const Value& value : values_) {
    const int kept = value.outputs ? samples : value.normed ? std::min(samples, histogram_samples) : 0;
    floats += as_size(kept) * value.shape.per_sample();
  }
  return floats * sizeof(float);
}

}  // namespace normlab
