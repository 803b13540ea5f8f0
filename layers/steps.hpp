#pragma once
// Steps: training steps, or passes of an evaluation, one after the other without the host.
//
// All that changes from step to step stands in tables on the device: which samples, in which order, the
// epoch, learning rate and momentum. A counter there selects the row; the last kernel of a step files what
// the step found in another table and moves the counter on. So all steps over as many samples are the same
// work: it is recorded once and replayed, and the host waits only when it wants to see what was found.

#include <functional>
#include <map>
#include <span>

#include "layers/as_size.hpp"
#include "layers/graph.hpp"
#include "layers/kernels/steps.hpp"

namespace normlab {

class Steps {
 public:
  /// Enqueues one step over `samples` samples. It waits for nothing.
  using Work = std::function<void(int samples)>;

  /// like: what all batches have in common: images with labels, mean, std, augmentation. Books memory for
  /// `samples` samples in steps of `batch`, the last one smaller. All pointers must outlive this.
  Steps(Backend& backend, const Batch& like, int samples, int batch, Work work);
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

  /// The steps to come, from the first row on; row i has the samples from its `first` to that of row i + 1
  /// in `order`. Waits for the device.
  void load(std::span<const std::uint32_t> order, std::span<const StepInput> rows);
  /// Begins again at the first row.
  void rewind();

  [[nodiscard]] int count() const { return static_cast<int>(sizes_.size()); }
  /// Steps enqueued.
  [[nodiscard]] int done() const { return done_; }
  /// Samples of a step.
  [[nodiscard]] int samples(int step) const { return sizes_[as_size(step)]; }

  /// Enqueues the next `steps` steps. The first over as many samples is done directly, all later ones
  /// replay one recording.
  void run(int steps);
  /// Does the next step by other work, directly.
  void step(const Work& work);

  // For work.
  /// Samples `offset` to `offset` + `count` of the running step's `whole`, as a batch to enqueue.
  [[nodiscard]] Batch take(int offset, int count, int whole);
  /// Adds up what a pass over them found.
  void add(const Graph& graph, const Batch& batch);
  /// On the device: the running step's rates, and where its gradient's squared norm belongs.
  [[nodiscard]] const StepRates* rates() const { return &input()->rates; }
  [[nodiscard]] double* squared_norm() const { return &result()->squared_norm; }

  /// What steps `first` to `first` + `count` found. Waits for the device.
  [[nodiscard]] std::vector<StepSums> results(int first, int count) const;

 private:
  struct Recording {
    bool was_done = false;
    std::unique_ptr<Replay> replay;
  };
  void enqueue(const Work& work, int samples);
  [[nodiscard]] StepInput* input() const { return reinterpret_cast<StepInput*>(input_.data()); }
  [[nodiscard]] StepSums* result() const { return reinterpret_cast<StepSums*>(result_.data()); }
  [[nodiscard]] std::uint32_t* next() const { return reinterpret_cast<std::uint32_t*>(next_.data()); }

  Backend& backend_;
  Batch like_;
  Work work_;
  Buffer order_, inputs_, results_;      ///< tables
  Buffer next_, input_, result_;         ///< of the running step: number of its row, and its rows
  Buffer indices_, labels_;              ///< of the running step
  std::vector<int> sizes_;               ///< samples of each step
  std::map<int, Recording> recordings_;  ///< by samples
  int done_ = 0;
};

}  // namespace normlab
