#include "experiments/progress/interrupt.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>

#include "host/system/output.hpp"

namespace normlab {

namespace {

/// What asks a study to end: people (INT), systems that shut down (TERM), terminals and connections that go
/// away (HUP), schedulers and timers whose time is up (USR1, USR2: Slurm's --signal; ALRM), power that fails
/// (PWR), and the limit of processor time (XCPU).
constexpr std::array kStops{SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGPWR, SIGXCPU};

std::atomic<bool> stop_requested = false;
std::atomic<int> stop_signal = 0;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "a signal handler sets them");

void stop(int signal) {
  int none = 0;
  stop_signal.compare_exchange_strong(none, signal);
  stop_requested = true;
  hurry_output();
  // A second one of a person or of the system ends the program at once. The others come more than once by
  // themselves: the kernel and the shell both hang up, XCPU comes every second.
  if (signal == SIGINT || signal == SIGTERM) std::signal(signal, SIG_DFL);
}

/// Where the limit of processor time leaves no time between the signal (the soft limit) and the end (the hard
/// one), as after `ulimit -t`, the signal comes a little earlier.
void leave_time_to_save() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CPU, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const rlim_t margin = std::clamp<rlim_t>(limit.rlim_max / 20, 1, 30);
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max <= margin ||
      limit.rlim_cur + margin <= limit.rlim_max)
    return;
  limit.rlim_cur = limit.rlim_max - margin;
  ::setrlimit(RLIMIT_CPU, &limit);
}

}  // namespace

bool interrupted() {
  return stop_requested;
}

int interrupt_signal() {
  return stop_signal;
}

int interrupt_status() {
  const int signal = stop_signal;
  return 128 + (signal == 0 || signal == SIGTERM ? SIGINT : signal);
}

void stop_runs() {
  stop_requested = true;
}

void handle_signals() {
  leave_time_to_save();
  for (const int signal : kStops) {
    struct sigaction before {};
    // What was ignored when the program began stays ignored: nohup, or a script's `&`.
    if (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = stop;
    action.sa_flags = SA_RESTART;
    ::sigaction(signal, &action, nullptr);
  }
  // A reader that goes away (| head, | tee over a connection) takes the words with it, not the study.
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace normlab
