#pragma once
// The steps of a run's training: each is done, recorded, shown, and looked at where somebody wants to.

#include <string>
#include <vector>

#include "experiments/measure/diagnostics.hpp"
#include "experiments/training/profile_window.hpp"
#include "experiments/training/run_record.hpp"

namespace normlab {

/// How far an epoch came.
struct EpochOutcome {
  enum class Status { done, diverged, interrupted };
  Status status = Status::done;
  Score score = {};                          ///< of an epoch that is done
  std::vector<std::string> not_finite = {};  ///< what was, in a step that diverged
};

class EpochTraining {
 public:
  /// All of these must outlive it. `at`: where the run stands, which training moves on.
  EpochTraining(const RunTask& task, RunSteps& run, Diagnostics& diagnostics, RunRecord& record, Position& at)
      : task_(task),
        run_(run),
        diagnostics_(diagnostics),
        record_(record),
        at_(at),
        window_(task.backend, *task.options.profile_steps) {}

  /// Trains to the end of the epoch that the run is in.
  EpochOutcome train();

  /// Images of an epoch.
  [[nodiscard]] double images() const { return static_cast<double>(run_.splits().train.size()); }
  /// That all steps took so far, without what was done beside them.
  [[nodiscard]] double seconds() const { return seconds_; }
  /// What the profilers' window found, for people; empty without a window.
  [[nodiscard]] std::string window_text() const { return window_.text(); }

 private:
  [[nodiscard]] std::int64_t steps_done() const { return run_.optimizer().steps(); }
  /// Whether a step is done directly, because somebody looks inside.
  [[nodiscard]] bool looks_at(std::int64_t step) const;
  [[nodiscard]] bool is_save_due(std::int64_t step) const;
  [[nodiscard]] int steps_unseen() const;
  void do_steps();
  void look_at_step();
  [[nodiscard]] std::vector<std::string> record_steps(int first, int processors);

  const RunTask& task_;
  RunSteps& run_;
  Diagnostics& diagnostics_;
  RunRecord& record_;
  Position& at_;
  ProfileWindow window_;
  double seconds_ = 0;
};

}  // namespace normlab
