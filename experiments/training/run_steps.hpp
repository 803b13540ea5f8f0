#pragma once
// What a run computes: the steps of its training, and its evaluations.

#include <memory>
#include <span>
#include <vector>

#include "experiments/training/device_images.hpp"
#include "experiments/training/run_spec.hpp"
#include "host/record/metric_log.hpp"
#include "layers/steps.hpp"

namespace normlab {

/// Passes over a split of the data as it is, by the running statistics.
class Evaluation {
 public:
  /// All of these must outlive it.
  Evaluation(Graph& graph, const DeviceImages& images, std::span<const std::uint32_t> indices);

  [[nodiscard]] Steps& steps() { return steps_; }
  [[nodiscard]] bool empty() const { return indices_.empty(); }
  [[nodiscard]] double images() const { return static_cast<double>(indices_.size()); }
  /// From now on, what the network says about each image is kept on the device. That books memory.
  void keep_predictions();
  /// Enqueues the next `count` passes.
  void run(int count);
  /// What was kept. Waits for the device.
  [[nodiscard]] std::vector<Prediction> predictions() const;

 private:
  void pass(int samples);

  Graph& graph_;
  const Images& images_;
  std::span<const std::uint32_t> indices_;
  Buffer predicted_, confidence_;  ///< by position in `indices`; empty: nobody wants them
  Steps steps_;
};

/// The images of each split, by their place in the data: those held out come from the training set.
struct Splits {
  Splits(const StudyOptions& options, const RunSpec& spec, const Dataset& data);
  std::vector<std::uint32_t> train, val, test;
};

/// What build_network() makes of a run.
[[nodiscard]] NetworkOptions network_of(const StudyOptions& options, const RunSpec& spec,
                                        const Dataset& data);

/// The network of a run on its device with its optimizer and images, and the steps of an epoch.
class RunSteps {
 public:
  /// All of these must outlive it.
  RunSteps(Backend& backend, const StudyOptions& options, const RunSpec& spec, const Dataset& data);

  [[nodiscard]] Graph& graph() { return *graph_; }
  [[nodiscard]] Optimizer& optimizer() { return optimizer_; }
  [[nodiscard]] DeviceImages& train_images() { return train_images_; }
  [[nodiscard]] DeviceImages& test_images() { return test_images_; }
  [[nodiscard]] const Splits& splits() const { return splits_; }
  [[nodiscard]] Evaluation& val() { return val_; }
  [[nodiscard]] Evaluation& test() { return test_; }
  [[nodiscard]] int steps_per_epoch() const;
  /// Training passes of a step over `samples`.
  [[nodiscard]] int passes(int samples) const;
  /// Of the step after `steps_done` of the whole run.
  [[nodiscard]] Rates rates(std::int64_t steps_done) const { return schedule_.at(steps_done); }

  /// The steps of an epoch of which `samples_done` are done already; optimizer().steps() says how many of the
  /// run's. Their work is gradients() and update().
  void begin_epoch(int epoch, std::int64_t samples_done);
  [[nodiscard]] Steps& steps() { return steps_; }

  // The two halves of a step, for one that is done directly: see Steps::step(). Neither waits.
  void gradients(int samples);
  void update() { optimizer_.update(steps_.rates(), steps_.squared_norm()); }
  /// The running step's gradients again, for the parameters as they are; returns the mean loss. Waits.
  double gradients_again(int samples);

 private:
  template <typename Pass>
  void for_parts(int samples, Pass pass);

  const RunSpec& spec_;
  const Splits splits_;
  std::unique_ptr<Graph> graph_;
  DeviceImages train_images_, test_images_;
  Optimizer optimizer_;
  Schedule schedule_;
  Steps steps_;
  Evaluation val_, test_;
};

}  // namespace normlab
