#pragma once
// How a study is told to end early.

namespace normlab {

/// Set by SIGINT and SIGTERM: the step is finished, what was measured is kept, the run ends as interrupted.
[[nodiscard]] bool interrupted();
/// Ends all runs as a signal would: one of them failed.
void stop_runs();
void handle_signals();

}  // namespace normlab
