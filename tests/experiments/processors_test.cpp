// Which processors work for which run, and how long a study takes.

#include "experiments/progress/processors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "experiments/progress/time_estimate.hpp"

namespace normlab {
namespace {

TEST(Processors, AreSharedEvenlyAndAllOfThem) {
  for (int processors = 1; processors <= 20; ++processors) {
    for (int runs = 1; runs <= processors; ++runs) {
      int sum = 0;
      for (int rank = 0; rank < runs; ++rank) {
        const int share = processor_share(processors, runs, rank);
        EXPECT_LE(share, processor_share(processors, runs, 0));
        EXPECT_GE(share, processor_share(processors, runs, 0) - 1);
        sum += share;
      }
      EXPECT_EQ(sum, processors);
    }
  }
  EXPECT_EQ(processor_share(2, 3, 2), 1);
}

TEST(Processors, OfASeatThatIsLeftGoToTheOthersAndNobodyLosesAny) {
  for (int processors = 1; processors <= 20; ++processors) {
    for (const int step : {1, 3, 7}) {  // orders in which seats are left: 11 is prime
      constexpr int kSeats = 11;
      ProcessorBudget budget(processors, kSeats);
      std::vector<int> before(kSeats);
      for (int seat = 0; seat < kSeats; ++seat) before[static_cast<std::size_t>(seat)] = budget.share(seat);
      std::vector<bool> left(kSeats);
      for (int i = 0, leaving = 0; i + 1 < kSeats; ++i, leaving = (leaving + step) % kSeats) {
        budget.leave(leaving);
        left[static_cast<std::size_t>(leaving)] = true;
        int sum = 0;
        for (int seat = 0; seat < kSeats; ++seat) {
          const auto at = static_cast<std::size_t>(seat);
          if (left[at]) continue;
          EXPECT_GE(budget.share(seat), before[at]);
          sum += before[at] = budget.share(seat);
        }
        EXPECT_EQ(sum, std::max(processors, kSeats - 1 - i));
      }
      for (int seat = 0; seat < kSeats; ++seat) {
        if (!left[static_cast<std::size_t>(seat)]) {
          EXPECT_EQ(budget.share(seat), processors);
        }
      }
    }
  }
}

TEST(Processors, SpeedUpAWholeNumberOfRoundsOfLanes) {
  EXPECT_EQ(speedup(1, 16), 1);
  EXPECT_EQ(speedup(2, 16), 2);
  EXPECT_EQ(speedup(3, 16), 16.0 / 6);
  EXPECT_EQ(speedup(16, 16), 16);
  EXPECT_EQ(speedup(64, 16), 16);
  EXPECT_EQ(speedup(4, 1), 1);
}

TEST(Processors, NoMoreRunsSideBySideThanMemoryHolds) {
  EXPECT_EQ(runs_in_memory(4, 100, 1000), 4);
  EXPECT_EQ(runs_in_memory(4, 300, 1000), 3);   // a tenth is for others
  EXPECT_EQ(runs_in_memory(4, 5000, 1000), 1);  // if it has no room either, it says so itself
  EXPECT_EQ(runs_in_memory(4, 0, 0), 4);
}

TEST(TimeLeft, CountsTheProcessorsThatAreReallyInUse) {
  EXPECT_EQ(time_left({}, {}, 4), 0);
  EXPECT_DOUBLE_EQ(time_left({{10, 16}}, {}, 1), 10);
  EXPECT_DOUBLE_EQ(time_left({{10, 16}}, {}, 2), 5);           // the last run has both
  EXPECT_DOUBLE_EQ(time_left({{10, 16}, {4, 16}}, {}, 2), 7);  // alone from 4 on
  EXPECT_DOUBLE_EQ(time_left({{10, 16}}, {{4, 16}}, 2), 7);    // one at a time: 5 + 2
  EXPECT_DOUBLE_EQ(time_left({{6, 16}, {2, 16}}, {{2, 16}, {5, 16}}, 2), 7.5);
  EXPECT_DOUBLE_EQ(time_left({{12, 4}}, {}, 64), 3);           // no more than lanes
  EXPECT_DOUBLE_EQ(time_left({{10, 1}, {4, 16}}, {}, 2), 10);  // a run of one lane gets no faster
}

/// A study as it really goes: runs of different speeds, teams that are not quite as fast as they should be.
class Simulation {
 public:
  Simulation(int runs, int processors, double machine)
      : estimate_(plan(runs, processors)), machine_(machine) {
    for (int run = 0; run < runs; ++run) left_.push_back(kWork);
    for (; next_ < std::min(runs, processors); ++next_) start(next_);
  }

  /// Seconds it took, and what the estimate said on the way: pairs of time passed and seconds left.
  double operator()(std::vector<std::pair<double, double>>& said, int processors) {
    constexpr double kTick = 0.05;
    double now = 0;
    for (; !seats_.empty(); now += kTick) {
      said.emplace_back(now, estimate_.seconds_left());
      for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
        const int run = seats_[seat];
        const int threads =
            processor_share(processors, static_cast<int>(seats_.size()), static_cast<int>(seat));
        const double team = std::pow(speedup(threads, kLanes), 0.95);
        double& left = left_[static_cast<std::size_t>(run)];
        const double work =
            std::min(left, machine_ * kRates[static_cast<std::size_t>(run) % 3] * team * kTick);
        left -= work;
        estimate_.advance(run, work, kTick, threads);
      }
      for (std::size_t seat = 0; seat < seats_.size();) {
        if (left_[static_cast<std::size_t>(seats_[seat])] > 0) {
          ++seat;
          continue;
        }
        estimate_.end(seats_[seat]);
        if (next_ < static_cast<int>(left_.size())) {
          estimate_.begin(seats_[seat] = next_++);
        } else {
          seats_.erase(seats_.begin() + static_cast<std::ptrdiff_t>(seat));
        }
      }
    }
    return now;
  }

 private:
  static constexpr double kWork = 30000;
  static constexpr int kLanes = 16;
  static constexpr std::array<double, 3> kRates{3000, 1000, 2200};

  static StudyPlan plan(int runs, int processors) {
    StudyPlan plan;
    for (int run = 0; run < runs; ++run) plan.runs.push_back({"", static_cast<std::size_t>(run) % 3, kWork});
    for (const double rate : kRates) plan.kinds.push_back({rate, kLanes});
    plan.processors = processors;
    plan.jobs = std::min(runs, processors);
    return plan;
  }
  void start(int run) {
    estimate_.begin(run);
    seats_.push_back(run);
  }

  TimeEstimate estimate_;
  double machine_;  ///< how much faster than it was when rates were guessed
  std::vector<double> left_;
  std::vector<int> seats_;
  int next_ = 0;
};

TEST(TimeLeft, IsRightWithinAFifthAlsoAtTheTail) {
  for (const int processors : {1, 2, 4, 7}) {
    for (const int runs : {1, 2, 5, 15}) {
      for (const double machine : {0.6, 1.0}) {  // the guess is made on an idle machine
        std::vector<std::pair<double, double>> said;
        const double took = Simulation(runs, processors, machine)(said, processors);
        for (const auto& [now, left] : said) {
          if (now < 1) continue;
          EXPECT_NEAR(left, took - now, 0.2 * (took - now) + 0.5)
              << processors << " processors, " << runs << " runs, after " << now << " of " << took << " s";
        }
      }
    }
  }
}

TEST(TimeLeft, ARunThatEndedEarlyIsDone) {
  StudyPlan plan;
  plan.runs = {{"a", 0, 100}, {"b", 0, 100}};
  plan.kinds = {{10}};
  TimeEstimate estimate(plan);
  EXPECT_DOUBLE_EQ(estimate.seconds_left(), 20);
  estimate.begin(0);
  estimate.advance(0, 50, 5, 1);
  EXPECT_DOUBLE_EQ(estimate.done(), 0.25);
  EXPECT_DOUBLE_EQ(estimate.seconds_left(), 15);
  estimate.end(0);
  EXPECT_DOUBLE_EQ(estimate.done(), 0.5);
  EXPECT_DOUBLE_EQ(estimate.seconds_left(), 10);
}

TEST(TimeLeft, RunsOfUnequalCostCountByTheirTime) {
  StudyPlan plan;
  plan.runs = {{"short", 0, 100, 1}, {"long", 1, 300, 3}};
  plan.kinds = {{10, 1}, {5, 1}};
  EXPECT_DOUBLE_EQ(plan.seconds(), 70);
  TimeEstimate estimate(plan);
  estimate.begin(0);
  estimate.advance(0, 100, 10, 1);
  estimate.end(0);
  EXPECT_DOUBLE_EQ(estimate.done(), 10.0 / 70);
  EXPECT_DOUBLE_EQ(estimate.seconds_left(), 60);
  estimate.begin(1);
  estimate.advance(1, 150, 60, 1);  // half as fast as guessed
  EXPECT_DOUBLE_EQ(estimate.done(1), 0.5);
  EXPECT_NEAR(estimate.seconds_left(), 60, 1e-9);
}

}  // namespace
}  // namespace normlab
