#include "experiments/common/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "experiments/common/processors.hpp"

namespace normlab {

namespace {

constexpr auto kBetweenDrawings = std::chrono::milliseconds(200);
/// What was seen of a kind's speed counts from then on, in seconds.
constexpr double kEnoughSeen = 0.5;

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

/// In one piece, so that no half-drawn screen shows.
void write_out(std::string_view text) {
  std::fflush(stdout);
  while (!text.empty()) {
    const ssize_t count = write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // a terminal that went away is no reason to lose a study
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace

double StudyPlan::seconds() const {
  std::vector<double> running, waiting;
  for (const PlannedRun& run : runs) {
    (static_cast<int>(running.size()) < jobs ? running : waiting).push_back(work / rates[run.kind]);
  }
  return time_left(running, waiting, processors, lanes);
}

void Meter::add(double amount, double seconds) {
  const double keep = std::exp(-seconds / memory_);
  amount_ = keep * amount_ + amount;
  seconds_ = keep * seconds_ + seconds;
}

Progress::Progress(StudyPlan plan)
    : plan_(std::move(plan)),
      terminal_(draws_on_terminal()),
      runs_(plan_.runs.size()),
      speeds_(plan_.rates.size(), Meter(60)) {
  for (std::size_t i = 0; i < runs_.size(); ++i) runs_[i].line.name = plan_.runs[i].name;
  if (terminal_) drawer_ = std::jthread([this](const std::stop_token& stop) { keep_drawing(stop); });
}

Progress::~Progress() {
  if (!terminal_) return;
  drawer_.request_stop();
  drawer_.join();
  write_out(lines_.replace("", {}, terminal_size().columns));
}

void Progress::begin(int run) {
  const std::lock_guard lock(mutex_);
  Run& r = runs_[static_cast<std::size_t>(run)];
  r.stage = Stage::running;
  r.last = Clock::now();
}

void Progress::advance(int run, const StepState& step) {
  const std::lock_guard lock(mutex_);
  Run& r = runs_[static_cast<std::size_t>(run)];
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - std::exchange(r.last, now)).count();
  r.work += step.work;
  r.rate.add(step.work, seconds);
  speeds_[plan_.runs[static_cast<std::size_t>(run)].kind].add(step.work,
                                                              seconds * speedup(step.threads, plan_.lanes));
  r.line.epoch = step.epoch;
  r.line.done = r.work / plan_.work;
  r.line.loss = step.loss;
  r.line.rate = r.rate.rate();
  r.line.threads = step.threads;
}

void Progress::epoch(int run, double test_accuracy, const std::string& line) {
  const std::lock_guard lock(mutex_);
  runs_[static_cast<std::size_t>(run)].line.accuracy = test_accuracy;
  if (!terminal_) write_out(line + "\n");
}

void Progress::finish(int run, const std::string& line) {
  const std::lock_guard lock(mutex_);
  ++finished_;
  runs_[static_cast<std::size_t>(run)].stage = Stage::ended;
  const std::string text =
      fmt::format("[{:>{}}/{}] {}\n", finished_, fmt::formatted_size("{}", runs_.size()), runs_.size(), line);
  if (terminal_) {
    draw(text);
  } else {
    write_out(text);
  }
}

ScreenState Progress::state() {
  const std::lock_guard lock(mutex_);
  return state_of_runs();
}

ScreenState Progress::state_of_runs() const {
  ScreenState state;
  state.finished = finished_;
  state.total = static_cast<int>(runs_.size());
  state.epochs = plan_.epochs;
  for (const Run& run : runs_) {
    state.done += (run.stage == Stage::ended ? 1 : run.line.done) / static_cast<double>(runs_.size());
    if (run.stage != Stage::running) continue;
    state.rate += run.line.rate;
    state.runs.push_back(run.line);
  }
  state.seconds_left = seconds_left();
  return state;
}

double Progress::seconds_left() const {
  // The first guess was made on an idle machine: kinds not seen yet are believed to be as much slower as
  // others.
  double guessed = 0, taken = 0;
  for (std::size_t kind = 0; kind < speeds_.size(); ++kind) {
    guessed += speeds_[kind].seconds() * speeds_[kind].rate() / plan_.rates[kind];
    taken += speeds_[kind].seconds();
  }
  const double faster = taken > kEnoughSeen ? guessed / taken : 1;
  std::vector<double> running, waiting;
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i].stage == Stage::ended) continue;
    const std::size_t kind = plan_.runs[i].kind;
    const double rate =
        speeds_[kind].seconds() > kEnoughSeen ? speeds_[kind].rate() : plan_.rates[kind] * faster;
    (runs_[i].stage == Stage::running ? running : waiting)
        .push_back(std::max(0.0, plan_.work - runs_[i].work) / std::max(rate, 1e-9));
  }
  // Between two runs of a seat, and before the first.
  while (static_cast<int>(running.size()) < plan_.jobs && !waiting.empty()) {
    running.push_back(waiting.front());
    waiting.erase(waiting.begin());
  }
  return time_left(std::move(running), waiting, plan_.processors, plan_.lanes);
}

void Progress::draw(std::string_view above) {
  const auto [columns, rows] = terminal_size();
  write_out(lines_.replace(above, draw_screen(state_of_runs(), columns, rows), columns));
}

void Progress::keep_drawing(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    draw();
    wake_.wait_for(lock, stop, kBetweenDrawings, [] { return false; });
  }
}

}  // namespace normlab
