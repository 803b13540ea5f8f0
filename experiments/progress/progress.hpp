#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "experiments/progress/screen.hpp"
#include "experiments/progress/time_estimate.hpp"

namespace normlab {

/// Where a run stands after a step.
struct StepState {
  int epoch = 1;
  double work = 0;   ///< done in this step
  double loss = -1;  ///< mean training loss of this epoch so far
  int threads = 1;   ///< that did it
};

/// What people see while runs go on. On a terminal: a screen with a line for each run, redrawn in place,
/// under the lines of the runs that ended. Elsewhere, and with NO_COLOR or TERM=dumb: a plain line for each
/// epoch and each run that ended. Any thread may call.
class Progress {
 public:
  explicit Progress(const StudyPlan& plan);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `work` of it was done before.
  void begin(int run, double work = 0);
  void advance(int run, const StepState& step);
  /// The run ended an epoch.
  void epoch(int run, double test_accuracy, const std::string& line);
  /// What people should know; a line that was noted before is not repeated.
  void note(const std::string& line);
  /// The run ended, whatever its work.
  void finish(int run, const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  struct Run {
    Clock::time_point last;  ///< step
    ScreenRun line;
  };

  [[nodiscard]] ScreenState state() const;
  void draw(std::string_view above = {});
  void keep_drawing(const std::stop_token& stop);

  const bool terminal_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  Clock::time_point last_;  ///< step of any run
  Meter rate_{5};           ///< of all runs together
  TimeEstimate estimate_;
  std::vector<Run> runs_;
  int finished_ = 0;
  std::set<std::string> noted_;
  LiveLines lines_;
  std::jthread drawer_;  ///< last: it uses the others
};

}  // namespace normlab
