#include "experiments/common/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace normlab {

namespace {

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

constexpr const char* kClearLine = "\r\033[K";

}  // namespace

std::string clock_text(double seconds) {
  const int s = static_cast<int>(seconds + 0.5);
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

Progress::Progress(int runs, double work)
    : terminal_(isatty(STDOUT_FILENO) == 1),
      runs_(runs),
      work_(work),
      states_(static_cast<std::size_t>(runs)) {}

Progress::~Progress() {
  if (terminal_) fmt::print("{}", kClearLine);
  std::fflush(stdout);
}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::advance(int run, double images, const std::string& state) {
  const std::lock_guard lock(mutex_);
  done_ += images;
  states_[static_cast<std::size_t>(run)] = state;
  if (terminal_ && seconds() - last_drawn_ > 0.1) draw();
}

void Progress::epoch(int /*run*/, const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (!terminal_) print(line);
}

void Progress::finish(int run, const std::string& line) {
  const std::lock_guard lock(mutex_);
  ++finished_;
  states_[static_cast<std::size_t>(run)].clear();
  print(fmt::format("[{:>{}}/{}] {}", finished_, fmt::formatted_size("{}", runs_), runs_, line));
}

void Progress::print(const std::string& line) {
  fmt::print("{}{}\n", terminal_ ? kClearLine : "", line);
  if (terminal_) draw();
  std::fflush(stdout);
}

void Progress::draw() {
  last_drawn_ = seconds();
  const double rate = done_ / std::max(1e-9, last_drawn_);
  std::string line = fmt::format("{:3.0f}% {:.0f} images/s, {} left", 100 * done_ / work_, rate,
                                 clock_text(rate > 0 ? (work_ - done_) / rate : 0));
  for (const std::string& state : states_) {
    if (!state.empty()) line += " | " + state;
  }
  fmt::print("{}{}", kClearLine, line.substr(0, terminal_columns() - 1));
  std::fflush(stdout);
}

}  // namespace normlab
