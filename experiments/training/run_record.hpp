#pragma once
// What a run leaves in its directory: configuration, log, checkpoints, and the parameters at its end.

#include <string>
#include <vector>

#include "experiments/training/checkpoint.hpp"
#include "experiments/training/run_log.hpp"
#include "experiments/training/run_steps.hpp"
#include "experiments/training/run_task.hpp"
#include "host/record/checkpoint_files.hpp"

namespace normlab {

class RunRecord {
 public:
  /// Where the directory has a checkpoint, reads the newest into the network and the optimizer, and cuts from
  /// the log what came after it; else begins a log. Writes config.toml. `others`: channels of the log beside
  /// those of steps and splits.
  RunRecord(const RunTask& task, RunSteps& run, std::vector<Channel> others);

  /// Whether there was a checkpoint.
  [[nodiscard]] bool resumes() const { return resumes_; }
  /// Where the run goes on from.
  [[nodiscard]] const Position& start() const { return start_; }
  [[nodiscard]] RunLog& log() { return log_; }
  /// Writes a checkpoint: what came before it survives whatever happens to the process. Sets the steps and
  /// the place in the log.
  void save(Position& at);
  /// The files of a run that came to its end, and its last words in the log.
  void finish(const Position& at, const std::vector<Prediction>& predictions);
  /// Its last words in the log, if it did not.
  void finish(RunStatus status, const std::string& message) { log_.writer().close(status, message); }

  /// Spent on checkpoints so far.
  [[nodiscard]] double saving_seconds() const { return saving_seconds_; }

 private:
  /// Reads the newest checkpoint, if there is one.
  [[nodiscard]] Position read_start();
  [[nodiscard]] RunLog open_log(std::vector<Channel> others) const;
  void write_config() const;
  /// Where a run was resumed on another machine, its configuration says so from now on.
  void mark_config(std::int64_t steps) const;

  const RunTask& task_;
  RunSteps& run_;
  CheckpointFiles checkpoints_;
  const bool resumes_;
  const Position start_;
  RunLog log_;
  double saving_seconds_ = 0;
};

}  // namespace normlab
