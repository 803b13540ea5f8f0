#pragma once
// One pass over a batch through a network whose every value is looked at.

#include <optional>
#include <string>
#include <vector>

#include "layers/diagnostics.hpp"
#include "layers/graph.hpp"

namespace normlab {

/// What a pass found, by block (see host/record/diagnostic_channels.hpp) and, for histograms, by norm.
struct ProbeFigures {
  double loss = 0;  ///< mean over the batch
  std::vector<double> activation_mean, activation_variance, dead_fraction, output_grad_norm, cosine,
      stable_rank;
  std::vector<std::optional<Outlier>> outliers;   ///< in activations, on the CPU; elsewhere there are none
  std::vector<std::vector<float>> before, after;  ///< rows of histograms; without norms `after` is empty
};

/// Watches a graph whose ReLUs are layers of their own (NetworkOptions::fuse false) and that was set up for
/// training batches of the size to come. The graph outlives the probe.
class Probe {
 public:
  explicit Probe(Graph& graph);
  ~Probe() { graph_.set_observer(nullptr); }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  /// For each block the layer that gives its output: <block>.norm, or <block>.relu where no norm precedes.
  [[nodiscard]] const std::vector<std::string>& outputs() const { return outputs_; }
  /// The blocks with histograms.
  [[nodiscard]] const std::vector<std::string>& histogram_blocks() const { return histogram_blocks_; }
  [[nodiscard]] bool has_norms() const { return has_norms_; }

  /// One training pass and its figures; histograms are over the first `histogram_samples`. Running
  /// statistics and gradients of the graph change, parameters do not. Equal bits for any number of threads.
  [[nodiscard]] ProbeFigures measure(const Batch& batch, int histogram_samples);
  /// That measure() keeps beside what the graph booked.
  [[nodiscard]] std::size_t memory_bytes(int samples, int histogram_samples) const;

 private:
  /// What is kept of one value, on the device: (samples, c, h, w), plain floats.
  struct Kept {
    int samples = 0;
    Buffer values;
  };
  struct Value {
    Shape shape;           ///< of one sample
    bool outputs = false;  ///< a block's output
    bool normed = false;   ///< enters or leaves a norm
  };

  [[nodiscard]] std::size_t values_of_worker() const;
  void book(int samples, int histogram_samples);
  void look(const Observation& seen, int batch);
  [[nodiscard]] std::vector<float> histogram_of(int value, int samples) const;

  Graph& graph_;
  std::vector<std::string> outputs_, histogram_blocks_;
  std::vector<int> output_values_, before_values_, after_values_;
  bool has_norms_ = false;
  std::vector<Value> values_;                        ///< by value of the graph
  std::vector<Kept> kept_;                           ///< by value
  Buffer gradient_;                                  ///< of a shard, by worker
  std::vector<std::vector<double>> gradient_norms_;  ///< by value, for each sample
};

}  // namespace normlab
