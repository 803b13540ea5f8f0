#pragma once

#include "layers/graph.hpp"
#include "layers/kernels/step_rates.hpp"
#include "layers/schedule.hpp"

namespace normlab {

struct OptimizerOptions {
  enum class Kind { sgd, adamw };
  Kind kind = Kind::sgd;
  bool nesterov = false;
  double weight_decay = 5e-4;
  double clip = 0;  ///< largest global gradient norm; 0: no clipping
};

[[nodiscard]] OptimizerOptions::Kind parse_optimizer(const std::string& text);

/// One kernel over the graph's flat buffers. With AdamW `momentum` of the rates is beta1.
class Optimizer {
 public:
  Optimizer(Graph& graph, OptimizerOptions options);

  /// Updates the values from the gradients; returns the gradient norm before clipping.
  double step(Rates rates);
  /// The same by rates on the device, without waiting for it: *squared_norm there is that of the gradient.
  /// Whoever enqueues it, or replays it, counts the steps.
  void update(const StepRates* rates, double* squared_norm);
  /// What the device wants to know of step number `step`, from 1.
  [[nodiscard]] StepRates rates_of(Rates rates, std::int64_t step) const;
  /// Steps done.
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  /// After a replay; or to go on from a checkpoint, whose moments are written into those below.
  void set_steps(std::int64_t steps) { steps_ = steps; }
  /// Device pointers to as many floats as the graph has parameters: SGD's momentum or AdamW's first moment,
  /// and its second one (null with SGD).
  [[nodiscard]] float* first_moment() { return first_moment_.floats(); }
  [[nodiscard]] float* second_moment() { return second_moment_.floats(); }

 private:
  Graph& graph_;
  OptimizerOptions options_;
  Buffer first_moment_, second_moment_;
  Buffer rates_, squared_norm_;  ///< of step()
  std::int64_t steps_ = 0;
};

}  // namespace normlab
