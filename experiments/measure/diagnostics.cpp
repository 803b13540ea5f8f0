#include "experiments/measure/diagnostics.hpp"

#include <algorithm>

#include "experiments/measure/landscape.hpp"
#include "experiments/measure/timer.hpp"
#include "host/record/diagnostic_channels.hpp"
#include "layers/diagnostics.hpp"

namespace normlab {

namespace {

void append_layers(LogWriter& log, std::string_view metric, int epoch, std::int64_t step,
                   const std::vector<double>& values) {
  log.append(log.channel(std::string(kLayerPrefix).append(metric)), epoch, step, values);
}

/// The network as a probe wants it.
std::unique_ptr<Graph> make_probe_graph(const StudyOptions& options, NetworkOptions network, Backend& backend,
                                        const Shape& sample, int images) {
  network.fuse = false;
  auto graph = std::make_unique<Graph>(backend, sample);
  build_network(*graph, network);
  graph->setup({.batch = images, .evaluation_batch = 1, .precision = options.precision->storage});
  return graph;
}

}  // namespace

DiagnosisSteps::DiagnosisSteps(const StudyOptions& options, std::int64_t steps_per_epoch)
    : listed_(*options.diagnose_steps),
      first_(options.diagnose_first),
      landscape_every_(options.landscape_every) {
  if (options.diagnose > 0) periods_.push_back(options.diagnose * steps_per_epoch);
  if (options.diagnose_every > 0) periods_.push_back(options.diagnose_every);
}

bool DiagnosisSteps::contains(std::int64_t step) const {
  if (step == 0) return !empty();
  return step <= first_ || std::find(listed_.begin(), listed_.end(), step) != listed_.end() ||
         std::any_of(periods_.begin(), periods_.end(),
                     [step](std::int64_t period) { return step % period == 0; });
}

double DiagnosisSteps::work(std::int64_t step, int batch) const {
  constexpr double kProbeWork = 2 * kProbeImages;  // half of it is looking
  const double landscape = has_landscape(step) ? static_cast<double>(landscape_step_sizes().size()) : 0;
  return (contains(step) ? kProbeWork : 0) + landscape * batch;
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
    const double length = l2_norm(of(slice, before_));
    const double update = l2_distance(of(slice, after_), of(slice, before_));
    grad_norm.push_back(l2_norm(of(slice, gradients_)));
    weight_norm.push_back(length);
    update_ratio.push_back(update == 0 ? 0 : update / length);
  }
}

Diagnostics::Diagnostics(const StudyOptions& options, const NetworkOptions& network, Graph& graph,
                         const Batch& batch, std::int64_t steps_per_epoch)
    : graph_(graph),
      convolves_directly_(*options.conv == ConvolutionMethod::direct),
      steps_(options, steps_per_epoch),
      parameters_(graph) {
  if (steps_.empty()) return;
  const Timer timer;
  indices_.assign(batch.indices, batch.indices + batch.count);
  labels_.assign(batch.labels, batch.labels + batch.count);
  batch_ = batch;
  batch_.indices = indices_.data();
  batch_.labels = labels_.data();
  probe_graph_ = make_probe_graph(options, network, graph.backend(), graph.sample(), batch.count);
  probe_ = std::make_unique<Probe>(*probe_graph_);
  seconds_ += timer.seconds();
}

std::vector<Channel> Diagnostics::channels() const {
  std::vector<Channel> channels;
  if (steps_.has_landscapes()) {
    for (const char* figure : {"loss_min", "loss_max", "gradient_min", "gradient_max", "beta"}) {
      channels.push_back({std::string(kLandscapePrefix).append(figure), ChannelKind::scalar, "", {}, {}});
    }
  }
  if (steps_.empty()) return channels;
  for (const char* metric : {"grad_norm", "weight_norm", "update_ratio"}) {
    channels.push_back(layer_channel(metric, parameters_.layers()));
  }
  for (const char* metric : {"activation_mean", "activation_variance", "dead_fraction", "output_grad_norm",
                             "cosine", "stable_rank"}) {
    channels.push_back(layer_channel(metric, probe_->outputs()));
  }
  for (const std::string& block : probe_->histogram_blocks()) {
    channels.push_back(histogram_channel(kBeforePrefix, block));
    if (probe_->has_norms()) channels.push_back(histogram_channel(kAfterPrefix, block));
  }
  return channels;
}

void Diagnostics::start(LogWriter& log, bool resumes, std::function<void(const std::string&)> warn) {
  log_ = &log;
  warn_ = std::move(warn);
  if (resumes || !steps_.contains(0)) return;
  const Timer timer;
  probe(0, 0);
  seconds_ += timer.seconds();
}

void Diagnostics::before_update(int epoch, std::int64_t step, double lr,
                                const std::function<double()>& gradient) {
  const Timer timer;
  if (steps_.has_landscape(step)) {
    const LandscapeFigures found = measure_landscape(graph_, lr, gradient);
    const auto append = [&](std::string_view figure, double value) {
      log_->append(log_->channel(std::string(kLandscapePrefix).append(figure)), epoch, step, value);
    };
    append("loss_min", found.loss_min);
    append("loss_max", found.loss_max);
    append("gradient_min", found.gradient_min);
    append("gradient_max", found.gradient_max);
    append("beta", found.beta);
  }
  if (steps_.contains(step)) parameters_.before_update();
  seconds_ += timer.seconds();
}

void Diagnostics::after_update(int epoch, std::int64_t step) {
  if (!steps_.contains(step)) return;
  const Timer timer;
  parameters_.after_update();
  append_layers(*log_, "grad_norm", epoch, step, parameters_.grad_norm);
  append_layers(*log_, "weight_norm", epoch, step, parameters_.weight_norm);
  append_layers(*log_, "update_ratio", epoch, step, parameters_.update_ratio);
  probe(epoch, step);
  seconds_ += timer.seconds();
}

void Diagnostics::probe(int epoch, std::int64_t step) {
  Backend& backend = graph_.backend();
  std::vector<float> values(graph_.parameter_count());
  const std::size_t bytes = values.size() * sizeof(float);
  backend.to_host(graph_.values(), values.data(), bytes);
  backend.to_device(values.data(), probe_graph_->values(), bytes);
  const ProbeFigures figures = probe_->measure(batch_, kHistogramImages);
  append_layers(*log_, "activation_mean", epoch, step, figures.activation_mean);
  append_layers(*log_, "activation_variance", epoch, step, figures.activation_variance);
  append_layers(*log_, "dead_fraction", epoch, step, figures.dead_fraction);
  append_layers(*log_, "output_grad_norm", epoch, step, figures.output_grad_norm);
  append_layers(*log_, "cosine", epoch, step, figures.cosine);
  append_layers(*log_, "stable_rank", epoch, step, figures.stable_rank);
  const auto append_histograms = [&](std::string_view prefix, const std::vector<std::vector<float>>& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string name = std::string(prefix) + probe_->histogram_blocks()[i];
      log_->append(log_->channel(name), epoch, step, rows[i]);
    }
  };
  append_histograms(kBeforePrefix, figures.before);
  append_histograms(kAfterPrefix, figures.after);
  warn_of_outliers(figures, step);
}

void Diagnostics::warn_of_outliers(const ProbeFigures& figures, std::int64_t step) {
  if (convolves_directly_ || !warn_) return;
  for (std::size_t i = 0; i < figures.outliers.size(); ++i) {
    if (!figures.outliers[i]) continue;
    const auto& [largest, deviation] = *figures.outliers[i];
    const auto warn = std::exchange(warn_, nullptr);
    warn(fmt::format(
        "{} at step {}: the largest activation, {:.3g}, is more than {:.0e} times the deviation of "
        "most others, {:.3g}. Convolutions lose digits beside it; with --conv direct they do not",
        probe_->outputs()[i], step, largest, kOutlierTimes, deviation));
    return;
  }
}

std::size_t diagnosis_memory(const StudyOptions& options, const NetworkOptions& network, Backend& backend,
                             const Shape& sample) {
  if (DiagnosisSteps(options, 1).empty()) return 0;
  const std::unique_ptr<Graph> graph = make_probe_graph(options, network, backend, sample, kProbeImages);
  return graph->memory_bytes() + Probe(*graph).memory_bytes(kProbeImages, kHistogramImages);
}

}  // namespace normlab
