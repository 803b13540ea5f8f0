#include "experiments/common/diagnostics.hpp"

#include <algorithm>
#include <cmath>

#include "experiments/common/timer.hpp"
#include "host/record/diagnostic_channels.hpp"

namespace normlab {

namespace {

double norm_of(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

double distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

}  // namespace

DiagnosisSteps::DiagnosisSteps(const StudyOptions& options, std::int64_t steps_per_epoch)
    : period_(options.diagnose * steps_per_epoch), listed_(options.diagnose_step_list()) {}

bool DiagnosisSteps::contains(std::int64_t step) const {
  if (step == 0) return !empty();
  if (period_ > 0 && step % period_ == 0) return true;
  return std::find(listed_.begin(), listed_.end(), step) != listed_.end();
}

ParameterFigures::ParameterFigures(Graph& graph) : graph_(graph) {
  for (const Node& node : graph.nodes()) {
    const std::vector<Parameter>& parameters = std::as_const(*node.layer).parameters();
    if (parameters.empty()) continue;
    slices_.push_back({node.layer->name(), parameters.front().offset, node.layer->parameter_count()});
  }
}

std::vector<std::string> ParameterFigures::layers() const {
  std::vector<std::string> names;
  for (const Slice& slice : slices_) names.push_back(slice.layer);
  return names;
}

void ParameterFigures::before_update() {
  const std::size_t count = graph_.parameter_count();
  gradients_.resize(count);
  before_.resize(count);
  graph_.backend().to_host(graph_.gradients(), gradients_.data(), count * sizeof(float));
  graph_.backend().to_host(graph_.values(), before_.data(), count * sizeof(float));
}

void ParameterFigures::after_update() {
  after_.resize(before_.size());
  graph_.backend().to_host(graph_.values(), after_.data(), after_.size() * sizeof(float));
  grad_norm.clear();
  weight_norm.clear();
  update_ratio.clear();
  for (const Slice& slice : slices_) {
    const double length = norm_of(of(slice, before_));
    const double update = distance(of(slice, after_), of(slice, before_));
    grad_norm.push_back(norm_of(of(slice, gradients_)));
    weight_norm.push_back(length);
    update_ratio.push_back(update == 0 ? 0 : update / length);
  }
}

Diagnostics::Diagnostics(const StudyOptions& options, Graph& graph, std::int64_t steps_per_epoch)
    : steps_(options, steps_per_epoch), parameters_(graph) {}

std::vector<Channel> Diagnostics::channels() const {
  if (steps_.empty()) return {};
  std::vector<Channel> channels;
  for (const char* metric : {"grad_norm", "weight_norm", "update_ratio"}) {
    channels.push_back(layer_channel(metric, parameters_.layers()));
  }
  return channels;
}

void Diagnostics::start(LogWriter& log) {
  log_ = &log;
}

void Diagnostics::before_update(std::int64_t step) {
  if (!steps_.contains(step)) return;
  const Timer timer;
  parameters_.before_update();
  seconds_ += timer.seconds();
}

void Diagnostics::after_update(int epoch, std::int64_t step) {
  if (!steps_.contains(step)) return;
  const Timer timer;
  parameters_.after_update();
  log_->append(log_->channel("layer.grad_norm"), epoch, step, parameters_.grad_norm);
  log_->append(log_->channel("layer.weight_norm"), epoch, step, parameters_.weight_norm);
  log_->append(log_->channel("layer.update_ratio"), epoch, step, parameters_.update_ratio);
  seconds_ += timer.seconds();
}

}  // namespace normlab
