#include "experiments/progress/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "host/system/output.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

constexpr auto kBetweenDrawings = std::chrono::milliseconds(200);

/// Whether the cursor may be moved.
bool draws_on_terminal() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  const std::string term = variable("TERM");
  return isatty(STDOUT_FILENO) == 1 && variable("NO_COLOR").empty() && !term.empty() && term != "dumb";
}

struct TerminalSize {
  int columns = 80, rows = 24;
};

TerminalSize terminal_size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

}  // namespace

Progress::Progress(const StudyPlan& plan)
    : terminal_(draws_on_terminal()), last_(Clock::now()), estimate_(plan), runs_(plan.runs.size()) {
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    runs_[i].line.name = plan.runs[i].name;
    runs_[i].line.epochs = plan.runs[i].epochs;
  }
  if (terminal_) drawer_ = std::jthread([this](const std::stop_token& stop) { keep_drawing(stop); });
}

Progress::~Progress() {
  if (!terminal_) return;
  drawer_.request_stop();
  drawer_.join();
  flush_output(lines_.replace("", {}, terminal_size().columns));
}

void Progress::begin(int run, double work) {
  const std::lock_guard lock(mutex_);
  estimate_.begin(run, work);
  runs_[as_size(run)].last = Clock::now();
}

void Progress::advance(int run, const StepState& step) {
  const std::lock_guard lock(mutex_);
  Run& r = runs_[as_size(run)];
  const Clock::time_point now = Clock::now();
  const auto seconds_since = [now](Clock::time_point& last) {
    return std::chrono::duration<double>(now - std::exchange(last, now)).count();
  };
  estimate_.advance(run, step.work, seconds_since(r.last), step.threads);
  rate_.add(step.work, seconds_since(last_));
  r.line.epoch = step.epoch;
  r.line.loss = step.loss;
  r.line.threads = step.threads;
}

void Progress::epoch(int run, double test_accuracy, const std::string& line) {
  const std::lock_guard lock(mutex_);
  runs_[as_size(run)].line.accuracy = test_accuracy;
  if (!terminal_) flush_output(line + "\n");
}

void Progress::note(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (!noted_.insert(line).second) return;
  const std::string text = fmt::format("note: {}\n", line);
  terminal_ ? draw(text) : flush_output(text);
}

void Progress::finish(int run, const std::string& line) {
  const std::lock_guard lock(mutex_);
  ++finished_;
  estimate_.end(run);
  const std::string text =
      fmt::format("[{:>{}}/{}] {}", finished_, fmt::formatted_size("{}", runs_.size()), runs_.size(), line);
  if (terminal_) {
    draw(text + "\n");
  } else if (finished_ < static_cast<int>(runs_.size())) {
    flush_output(fmt::format("{}; {} left\n", text, clock_text(estimate_.seconds_left())));
  } else {
    flush_output(text + "\n");
  }
}

ScreenState Progress::state() const {
  ScreenState state;
  state.finished = finished_;
  state.total = static_cast<int>(runs_.size());
  state.done = estimate_.done();
  state.rate = rate_.rate();
  state.seconds_left = estimate_.seconds_left();
  for (int run = 0; run < state.total; ++run) {
    if (!estimate_.is_running(run)) continue;
    ScreenRun& line = state.runs.emplace_back(runs_[as_size(run)].line);
    line.done = estimate_.done(run);
    line.rate = estimate_.rate(run);
  }
  return state;
}

void Progress::draw(std::string_view above) {
  const auto [columns, rows] = terminal_size();
  flush_output(lines_.replace(above, draw_screen(state(), columns, rows), columns));
}

void Progress::keep_drawing(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    draw();
    wake_.wait_for(lock, stop, kBetweenDrawings, [] { return false; });
  }
}

}  // namespace normlab
