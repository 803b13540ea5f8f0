#pragma once
// One run: train one network with one norm from one seed, and record everything.

#include "experiments/training/run_task.hpp"

namespace normlab {

/// Where a run's time went, in seconds.
struct RunTimes {
  double training = 0;    ///< optimizer steps
  double evaluation = 0;  ///< forward passes over the validation and test sets
  double diagnosis = 0;   ///< looking inside the network
  double saving = 0;      ///< checkpoints
  double logging = 0;     ///< handing rows of steps to the log, and the time that its thread computes
  double total = 0;
};

struct RunOutcome {
  enum class Status { done, diverged, interrupted };
  Status status = Status::done;
  double val_accuracy = 0, test_accuracy = 0;  ///< the last ones
  RunTimes times;
};

/// Trains and writes metrics.nlog, config.toml, checkpoints and final.safetensors into the task's directory.
/// Where there is a checkpoint the run goes on from it, as if it had never stopped: steps after it are cut
/// from the log and computed again. A loss or gradient that is not finite ends the run as diverged, and so do
/// parameters, running statistics or predictions at its end; that is a result, not an error, and the message
/// in the log names them.
RunOutcome train(const RunTask& task);

}  // namespace normlab
