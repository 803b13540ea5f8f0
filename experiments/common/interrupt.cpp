#include "experiments/common/interrupt.hpp"

#include <atomic>
#include <csignal>

namespace normlab {

namespace {

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

}  // namespace

bool interrupted() {
  return stop_requested;
}

void stop_runs() {
  stop_requested = true;
}

void handle_signals() {
  const auto handler = [](int signal) {
    stop_requested = true;
    std::signal(signal, SIG_DFL);  // a second one ends the program at once
  };
  std::signal(SIGINT, handler);
  std::signal(SIGTERM, handler);
}

}  // namespace normlab
