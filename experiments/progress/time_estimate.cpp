#include "experiments/progress/time_estimate.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "experiments/progress/processors.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

/// Seconds of a kind's steps after which they count, not the guess.
constexpr double kEnoughSeen = 0.5;

}  // namespace

double StudyPlan::seconds() const {
  std::vector<WorkLeft> running, waiting;
  for (const PlannedRun& run : runs) {
    const RunKind& kind = kinds[run.kind];
    (static_cast<int>(running.size()) < jobs ? running : waiting)
        .push_back({run.work / kind.rate, kind.lanes});
  }
  return time_left(running, waiting, processors);
}

void Meter::add(double amount, double seconds) {
  const double keep = std::exp(-seconds / memory_);
  amount_ = keep * amount_ + amount;
  seconds_ = keep * seconds_ + seconds;
}

TimeEstimate::TimeEstimate(StudyPlan plan)
    : plan_(std::move(plan)), runs_(plan_.runs.size()), speeds_(plan_.kinds.size(), Meter(60)) {}

void TimeEstimate::begin(int run, double work) {
  runs_[as_size(run)].work = work;
  runs_[as_size(run)].stage = Stage::running;
}

void TimeEstimate::advance(int run, double work, double seconds, int threads) {
  const auto index = as_size(run);
  runs_[index].work += work;
  runs_[index].rate.add(work, seconds);
  const std::size_t kind = plan_.runs[index].kind;
  speeds_[kind].add(work, seconds * speedup(threads, plan_.kinds[kind].lanes));
}

void TimeEstimate::end(int run) {
  runs_[as_size(run)].stage = Stage::ended;
}

double TimeEstimate::done(int run) const {
  return at(run).stage == Stage::ended ? 1 : at(run).work / plan_.runs[as_size(run)].work;
}

double TimeEstimate::done() const {
  double sum = 0, all = 0;
  for (int run = 0; run < static_cast<int>(runs_.size()); ++run) {
    const PlannedRun& planned = plan_.runs[as_size(run)];
    const double seconds = planned.work / plan_.kinds[planned.kind].rate;
    sum += done(run) * seconds;
    all += seconds;
  }
  return all > 0 ? sum / all : 1;
}

double TimeEstimate::seconds_left() const {
  // The first guess was made on an idle machine: kinds not seen yet are believed to be as much slower as
  // others.
  double guessed = 0, taken = 0;
  for (std::size_t kind = 0; kind < speeds_.size(); ++kind) {
    guessed += speeds_[kind].seconds() * speeds_[kind].rate() / plan_.kinds[kind].rate;
    taken += speeds_[kind].seconds();
  }
  const double faster = taken > kEnoughSeen ? guessed / taken : 1;
  std::vector<WorkLeft> running, waiting;
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i].stage == Stage::ended) continue;
    const std::size_t kind = plan_.runs[i].kind;
    const double rate =
        speeds_[kind].seconds() > kEnoughSeen ? speeds_[kind].rate() : plan_.kinds[kind].rate * faster;
    (runs_[i].stage == Stage::running ? running : waiting)
        .push_back({std::max(0.0, plan_.runs[i].work - runs_[i].work) / std::max(rate, 1e-9),
                    plan_.kinds[kind].lanes});
  }
  // Between two runs of a seat, and before the first.
  while (static_cast<int>(running.size()) < plan_.jobs && !waiting.empty()) {
    running.push_back(waiting.front());
    waiting.erase(waiting.begin());
  }
  return time_left(std::move(running), waiting, plan_.processors);
}

}  // namespace normlab
