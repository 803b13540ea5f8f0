#include "experiments/progress/processors.hpp"

#include <algorithm>
#include <limits>

#include "layers/as_size.hpp"

namespace normlab {

int processor_share(int processors, int runs, int rank) {
  return std::max(1, processors / runs + (rank < processors % runs ? 1 : 0));
}

int runs_in_memory(int wanted, std::size_t bytes_of_one, std::size_t bytes_available) {
  const std::size_t usable = bytes_available / 10 * 9;
  if (bytes_of_one * as_size(wanted) <= usable) return wanted;
  return std::max(1, static_cast<int>(usable / bytes_of_one));
}

double speedup(int threads, int lanes) {
  const int rounds = (lanes + threads - 1) / threads;  // a lane is one worker's
  return static_cast<double>(lanes) / rounds;
}

ProcessorBudget::ProcessorBudget(int processors, int seats)
    : processors_(processors), taken_(as_size(seats), true), shares_(as_size(seats)) {
  deal();
}

void ProcessorBudget::leave(int seat) {
  const std::lock_guard lock(mutex_);
  taken_[as_size(seat)] = false;
  deal();
}

void ProcessorBudget::deal() {
  const auto runs = static_cast<int>(std::count(taken_.begin(), taken_.end(), true));
  int rank = 0;
  for (std::size_t seat = 0; seat < taken_.size(); ++seat) {
    if (taken_[seat]) shares_[seat] = processor_share(processors_, runs, rank++);
  }
}

double time_left(std::vector<WorkLeft> running, const std::vector<WorkLeft>& waiting, int processors) {
  double seconds = 0;
  auto next = waiting.begin();
  while (!running.empty()) {
    const auto runs = static_cast<int>(running.size());
    std::vector<double> speeds;
    double until_one_ends = std::numeric_limits<double>::infinity();
    for (int rank = 0; rank < runs; ++rank) {
      const WorkLeft& run = running[as_size(rank)];
      speeds.push_back(speedup(processor_share(processors, runs, rank), run.lanes));
      until_one_ends = std::min(until_one_ends, run.seconds / speeds.back());
    }
    seconds += until_one_ends;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < running.size(); ++i) {
      WorkLeft left = running[i];
      left.seconds -= until_one_ends * speeds[i];
      const bool ends = left.seconds <= 1e-9 * running[i].seconds;
      if (ends && next == waiting.end()) continue;
      running[kept++] = ends ? *next++ : left;
    }
    running.resize(kept);
  }
  return seconds;
}

}  // namespace normlab
