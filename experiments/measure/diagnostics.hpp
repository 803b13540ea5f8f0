#pragma once
// What happens inside a network while it trains, for the metric log. host/record/diagnostic_channels.hpp says
// what is measured.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "experiments/measure/probe.hpp"
#include "experiments/options/options.hpp"
#include "host/record/metric_log.hpp"
#include "layers/graph.hpp"

namespace normlab {

/// At which steps a run is looked into.
class DiagnosisSteps {
 public:
  DiagnosisSteps(const StudyOptions& options, std::int64_t steps_per_epoch);
  /// Whether layers are diagnosed. Steps count from 1; 0 is before training.
  [[nodiscard]] bool contains(std::int64_t step) const;
  /// Whether the loss landscape is measured.
  [[nodiscard]] bool has_landscape(std::int64_t step) const {
    return landscape_every_ > 0 && step > 0 && (step - 1) % landscape_every_ == 0;
  }
  [[nodiscard]] bool has_landscapes() const { return landscape_every_ > 0; }
  /// Whether anything is.
  [[nodiscard]] bool looks_at(std::int64_t step) const { return contains(step) || has_landscape(step); }
  /// What looking takes at this step, in images trained on, where a batch has `batch`.
  [[nodiscard]] double work(std::int64_t step, int batch) const;
  /// No step at all.
  [[nodiscard]] bool empty() const { return periods_.empty() && listed_.empty() && first_ == 0; }

 private:
  std::vector<std::int64_t> periods_;
  std::vector<int> listed_;
  std::int64_t first_;
  int landscape_every_;
};

/// The parameters of each layer that has any, around a step: ||g||, ||w||, ||w' - w|| / ||w||.
class ParameterFigures {
 public:
  explicit ParameterFigures(Graph& graph);
  [[nodiscard]] std::vector<std::string> layers() const;
  /// With this step's gradients in the graph, before the parameters change.
  void before_update();
  /// Computes the figures below.
  void after_update();

  std::vector<double> grad_norm, weight_norm, update_ratio;

 private:
  struct Slice {
    std::string layer;
    std::size_t first, count;
  };
  [[nodiscard]] std::span<const float> of(const Slice& slice, const std::vector<float>& flat) const {
    return std::span(flat).subspan(slice.first, slice.count);
  }

  Graph& graph_;
  std::vector<Slice> slices_;
  std::vector<float> gradients_, before_, after_;
};

/// Bytes that diagnosing a run of this network books, beside the run's own.
[[nodiscard]] std::size_t diagnosis_memory(const StudyOptions& options, const NetworkOptions& network,
                                           Backend& backend, const Shape& sample);

/// Diagnoses one run. It reads the run's graph and changes nothing in it: what is to be seen of activations,
/// a second graph with the same parameters shows on the probe batch.
class Diagnostics {
 public:
  /// `network` is what `graph` was built from, `batch` the probe batch: its indices and labels are copied.
  /// Books memory only where options want a diagnosis.
  Diagnostics(const StudyOptions& options, const NetworkOptions& network, Graph& graph, const Batch& batch,
              std::int64_t steps_per_epoch);

  [[nodiscard]] std::vector<Channel> channels() const;
  /// Before training, or before it goes on. The log must outlive the run. `warn` is called once at most, with
  /// what people should do something about.
  void start(LogWriter& log, bool resumes, std::function<void(const std::string&)> warn);
  /// Around the optimizer's step number `step`, every time, with its gradient in the graph. `gradient`
  /// computes it anew, for the parameters as they then are, and returns the mean loss.
  void before_update(int epoch, std::int64_t step, double lr, const std::function<double()>& gradient);
  void after_update(int epoch, std::int64_t step);
  /// That all of this took so far.
  [[nodiscard]] double seconds() const { return seconds_; }
  [[nodiscard]] const DiagnosisSteps& steps() const { return steps_; }

 private:
  /// Shows the network as it is now.
  void probe(int epoch, std::int64_t step);
  void warn_of_outliers(const ProbeFigures& figures, std::int64_t step);

  Graph& graph_;
  bool convolves_directly_;
  DiagnosisSteps steps_;
  ParameterFigures parameters_;
  std::vector<std::uint32_t> indices_;
  std::vector<std::int32_t> labels_;
  Batch batch_;
  std::unique_ptr<Graph> probe_graph_;
  std::unique_ptr<Probe> probe_;
  LogWriter* log_ = nullptr;
  std::function<void(const std::string&)> warn_;  ///< empty once it was called
  double seconds_ = 0;
};

}  // namespace normlab
