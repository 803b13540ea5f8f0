#pragma once
// How long a study will take, from what its runs did so far.

#include <string>
#include <vector>

#include "layers/as_size.hpp"

namespace normlab {

/// What evaluating an image costs, in images trained on: the forward pass is a third.
inline constexpr double kEvaluationWork = 1.0 / 3;

/// A run that a study will do.
struct PlannedRun {
  std::string name;
  std::size_t kind = 0;
  double work = 1;  ///< in images trained on; images evaluated count a third
  int epochs = 1;
};

/// Runs of one kind (norm, network, batch size) are equally fast.
struct RunKind {
  double rate = 1;  ///< a first guess: images a second on one processor
  int lanes = 1;    ///< the most processors that such a run can use
};

/// What a study will do, and on what.
struct StudyPlan {
  std::vector<PlannedRun> runs;  ///< in the order in which they start
  std::vector<RunKind> kinds;
  int processors = 1, jobs = 1;

  /// Seconds that all of it takes, as far as the kinds' rates are right.
  [[nodiscard]] double seconds() const;
};

/// How fast something goes, of late: amounts and seconds of which older ones fade away.
class Meter {
 public:
  explicit Meter(double memory) : memory_(memory) {}
  void add(double amount, double seconds);
  [[nodiscard]] double seconds() const { return seconds_; }
  [[nodiscard]] double rate() const { return seconds_ > 0 ? amount_ / seconds_ : 0; }

 private:
  double memory_;  ///< seconds after which an amount counts a third
  double amount_ = 0, seconds_ = 0;
};

/// Follows the runs of a study. It has no clock of its own: callers say how long things took.
class TimeEstimate {
 public:
  explicit TimeEstimate(StudyPlan plan);

  /// `work` of it was done before.
  void begin(int run, double work = 0);
  /// The run did `work` in `seconds` on `threads` processors.
  void advance(int run, double work, double seconds, int threads);
  void end(int run);

  [[nodiscard]] bool is_running(int run) const { return at(run).stage == Stage::running; }
  /// Part of the run's work that is done, 0 to 1; all of it when the run ended early.
  [[nodiscard]] double done(int run) const;
  /// Of all runs, by the time that they take.
  [[nodiscard]] double done() const;
  /// Images a second, of late.
  [[nodiscard]] double rate(int run) const { return at(run).rate.rate(); }
  [[nodiscard]] double seconds_left() const;

 private:
  enum class Stage { waiting, running, ended };
  struct Run {
    Stage stage = Stage::waiting;
    double work = 0;  ///< done
    Meter rate{3};
  };

  [[nodiscard]] const Run& at(int run) const { return runs_[as_size(run)]; }

  const StudyPlan plan_;
  std::vector<Run> runs_;
  std::vector<Meter> speeds_;  ///< of each kind, on one processor
};

}  // namespace normlab
