#pragma once
// How one shard of a batch goes through the ops of a program.

#include <functional>

#include "layers/graph_memory.hpp"

namespace normlab {

/// One shard of a value that a training pass has just computed, or of the gradient of the loss there.
struct Observation {
  int value = 0;  ///< of node value - 1
  bool is_gradient = false;
  int first_sample = 0;  ///< of the batch
  int worker = 0;
  Tensor tensor;  ///< valid during the call
};

/// Called by all workers, several at once.
using Observer = std::function<void(const Observation&)>;

/// Samples of a batch that pass through together, and who takes them.
struct Shard {
  int number = 0;
  int first_sample = 0, samples = 0;
  int lane = 0, worker = 0;
};

class ShardRunner {
 public:
  /// All of these must outlive it. `profile` may be null.
  ShardRunner(Backend& backend, const GraphView& view, const GraphMemory& memory, const Program& program,
              const Observer& observer, Profile* profile)
      : backend_(backend),
        view_(view),
        memory_(memory),
        program_(program),
        observer_(observer),
        profile_(profile) {}

  void run(const Op& op, const Batch& batch, const Shard& shard) const;
  /// The shard of a value, or of a gradient there; empty where the slot is.
  [[nodiscard]] Tensor tensor(const Slot& slot, int value, const Shard& shard) const;

 private:
  /// The gradient of the loss at a value.
  [[nodiscard]] Tensor gradient(int value, const Shard& shard) const;
  /// What the layer of an op sees.
  [[nodiscard]] Frame frame_of(const Op& op, const Batch& batch, const Shard& shard) const;
  void load(const Batch& batch, const Shard& shard) const;
  void combine(int value, const Shard& shard) const;
  void run_layer(const Op& op, const Batch& batch, const Shard& shard) const;
  void show(int value, bool is_gradient, const Shard& shard, const Tensor& tensor) const;
  void lap(const Shard& shard, int node, Phase phase) const {
    if (profile_ != nullptr) profile_->lap(shard.worker, node, phase);
  }

  Backend& backend_;
  const GraphView& view_;
  const GraphMemory& memory_;
  const Program& program_;
  const Observer& observer_;
  Profile* profile_;
};

}  // namespace normlab
