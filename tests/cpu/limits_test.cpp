// What a process may use: the machine's memory and processors, and less in a container.

#include "host/cpu/limits.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

class Limits : public ::testing::Test {
 protected:
  void SetUp() override {
    put("proc/meminfo", "MemTotal: 9000 kB\nMemFree:  100 kB\nMemAvailable:    8000 kB\n");
  }

  void put(const fs::path& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  test::TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
};

TEST_F(Limits, OfThisMachine) {
  EXPECT_GE(available_threads(), 1);
  EXPECT_GT(available_memory(), std::size_t{1} << 20);
}

TEST_F(Limits, WithoutAControlGroupTheMachineCounts) {
  EXPECT_EQ(available_memory(root_), 8000U * 1024);
}

TEST_F(Limits, EveryLevelOfVersionTwoCounts) {
  put("proc/self/cgroup", "0::/a/b\n");
  put("sys/fs/cgroup/a/b/memory.max", "max\n");
  put("sys/fs/cgroup/a/memory.max", "5000000\n");
  put("sys/fs/cgroup/a/memory.current", "3000000\n");
  put("sys/fs/cgroup/a/memory.stat", "anon 2000000\ninactive_file 500000\n");
  EXPECT_EQ(available_memory(root_), 2500000U);
  put("sys/fs/cgroup/a/memory.current", "6000000\n");
  EXPECT_EQ(available_memory(root_), 0U);
}

TEST_F(Limits, VersionOneInAContainerShowsTheLimitAtItsRoot) {
  put("proc/self/cgroup", "5:devices:/x\n4:memory:/docker/0123\n0::/\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000\n");
  put("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 0\n");
  EXPECT_EQ(available_memory(root_), 3000000U);
}

TEST_F(Limits, NoLimitOfVersionOneIsAHugeNumber) {
  put("proc/self/cgroup", "4:memory:/\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(available_memory(root_), 8000U * 1024);
}

TEST_F(Limits, AQuotaOfTimeLimitsTheProcessors) {
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/cpu.max", "max 100000\n");
  const int all = available_threads(root_);
  EXPECT_EQ(all, available_threads("/nowhere"));
  put("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(available_threads(root_), 1);
  put("proc/self/cgroup", "1:cpuacct,cpu:/\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(available_threads(root_), all);
}

}  // namespace
}  // namespace normlab
