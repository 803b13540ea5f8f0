#pragma once
// How a study is told to end early.

namespace normlab {

/// Set by SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGPWR and SIGXCPU: the step is finished, what
/// was measured is kept, the run ends as interrupted.
[[nodiscard]] bool interrupted();
/// Which one it was; 0: none.
[[nodiscard]] int interrupt_signal();
/// The exit status then, which tells the signal: 128 + its number, such as 129 for SIGHUP and 138 for
/// SIGUSR1; for SIGTERM 130 like SIGINT.
[[nodiscard]] int interrupt_status();
/// Ends all runs as a signal would: one of them failed.
void stop_runs();
/// From now on signals do that, but for those that were ignored when the program began; SIGPIPE is ignored.
void handle_signals();

}  // namespace normlab
