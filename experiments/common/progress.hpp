#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "experiments/common/screen.hpp"

namespace normlab {

/// A run that a study will do.
struct PlannedRun {
  std::string name;
  std::size_t kind = 0;  ///< runs of one kind (norm) are equally fast
};

/// What a study will do, and on what.
struct StudyPlan {
  std::vector<PlannedRun> runs;  ///< in the order in which they start
  int epochs = 1;
  double work = 1;            ///< of each run, in images trained on; images evaluated count a third
  std::vector<double> rates;  ///< a first guess for each kind: images a second on one processor
  int processors = 1, jobs = 1;
  int lanes = 1;  ///< the most processors that a run can use

  /// Seconds that all of it takes, as far as `rates` are right.
  [[nodiscard]] double seconds() const;
};

/// Where a run stands after a step.
struct StepState {
  int epoch = 1;
  double work = 0;   ///< done in this step
  double loss = -1;  ///< mean training loss of this epoch so far
  int threads = 1;   ///< that did it
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

/// What people see while runs go on. On a terminal: a screen with a line for each run, redrawn in place,
/// under the lines of the runs that ended. Elsewhere, and with NO_COLOR or TERM=dumb: a plain line for each
/// epoch and each run that ended. Any thread may call.
class Progress {
 public:
  explicit Progress(StudyPlan plan);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void begin(int run);
  void advance(int run, const StepState& step);
  /// The run ended an epoch.
  void epoch(int run, double test_accuracy, const std::string& line);
  /// The run ended, whatever its work.
  void finish(int run, const std::string& line);

  /// The screen as it stands.
  [[nodiscard]] ScreenState state();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Stage { waiting, running, ended };
  struct Run {
    Stage stage = Stage::waiting;
    double work = 0;  ///< done
    Clock::time_point last;
    Meter rate{3};
    ScreenRun line;
  };

  [[nodiscard]] ScreenState state_of_runs() const;
  [[nodiscard]] double seconds_left() const;
  void draw(std::string_view above = {});
  void keep_drawing(const std::stop_token& stop);

  const StudyPlan plan_;
  const bool terminal_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<Run> runs_;
  std::vector<Meter> speeds_;  ///< of each kind, on one processor
  int finished_ = 0;
  LiveLines lines_;
  std::jthread drawer_;  ///< last: it uses the others
};

}  // namespace normlab
