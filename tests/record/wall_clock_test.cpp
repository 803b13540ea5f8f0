// Rows reach their file within about a second of real time, whatever happens to the wall clock.

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "host/record/log_reader.hpp"
#include "host/record/metric_log.hpp"
#include "tests/support/temporary_directory.hpp"

namespace {

std::atomic<time_t> ahead{0};  ///< seconds by which the wall clock is wrong

}  // namespace

/// The C++ library's calls come here, too.
extern "C" int clock_gettime(clockid_t clock, timespec* time) {
  const auto status = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (status == 0 && clock == CLOCK_REALTIME) time->tv_sec += ahead;
  return status;
}

namespace normlab {
namespace {

TEST(WallClock, IsTheOneThatTheTestSets) {
  const auto before = std::chrono::system_clock::now();
  ahead = 1000;
  EXPECT_GT(std::chrono::system_clock::now() - before, std::chrono::seconds(900));
  ahead = 0;
}

/// Ahead for a moment and then right again, and the other way round.
TEST(WallClock, RowsAreWrittenWhateverItSays) {
  for (const int wrong : {30, -30}) {
    const test::TemporaryDirectory directory;
    ahead = wrong;
    LogWriter log(directory / "metrics.nlog", {{"step.loss", ChannelKind::scalar, "", {}, {}}});
    log.append(0, 1, 1, 1.0);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // its thread waits by now
    ahead = 0;
    const auto rows = [&] { return read_log(directory / "metrics.nlog").rows.size(); };
    for (int i = 0; i < 100 && rows() == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(rows(), 1U) << wrong;
  }
}

}  // namespace
}  // namespace normlab
