#pragma once
// Who may use which part of the machine while several runs go on, and how long that will take.

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "layers/as_size.hpp"

namespace normlab {

/// The part of `processors` that falls to run number `rank` of `runs` going on side by side; at least 1. When
/// one of the runs ends, nobody's part becomes smaller.
[[nodiscard]] int processor_share(int processors, int runs, int rank);

/// How many of `wanted` runs fit in memory side by side, at least 1. Some of it is left for logs and others.
[[nodiscard]] int runs_in_memory(int wanted, std::size_t bytes_of_one, std::size_t bytes_available);

/// How many times as fast as one a team of `threads` works through `lanes` of work.
[[nodiscard]] double speedup(int threads, int lanes);

/// Deals processors to the runs that go on side by side. Each of these sits in a seat, and the next run takes
/// the seat of one that ended. When there is no run left for a seat, its processors go to the others, who
/// find out at their next step: the last run of a study has the whole machine. Any thread may call.
class ProcessorBudget {
 public:
  ProcessorBudget(int processors, int seats);

  [[nodiscard]] int share(int seat) const { return shares_[as_size(seat)]; }
  /// Nobody sits there any more.
  void leave(int seat);

 private:
  void deal();

  const int processors_;
  std::mutex mutex_;
  std::vector<bool> taken_;
  std::vector<std::atomic<int>> shares_;
};

/// What is left of a run.
struct WorkLeft {
  double seconds = 0;  ///< on one processor
  int lanes = 1;       ///< the most processors that it can use
};

/// Seconds until every run is done; the waiting ones start in order as others end.
[[nodiscard]] double time_left(std::vector<WorkLeft> running, const std::vector<WorkLeft>& waiting,
                               int processors);

}  // namespace normlab
