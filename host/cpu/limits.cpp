#include "host/cpu/limits.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>


namespace normlab {

namespace {

namespace fs = std::filesystem;

/// The number at the beginning of a file; none for "max" or when there is no such file.
std::optional<double> number_in(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

/// The number after a key, in a file of lines such as "MemAvailable:  123 kB".
std::optional<double> number_after(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == key && file >> value) return value;
    file.clear();
  }
  return std::nullopt;
}

/// The folders that hold this process's control group and its parents, the innermost first: limits hold at
/// every level. `controller` is empty for version 2. In a container the path may be the host's, of which only
/// the last parent, the root, is there.
std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // such as "4:memory:/group" or "0::/group"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const bool is_ours =
        controller.empty() ? names == ",," : names.find(fmt::format(",{},", controller)) != std::string::npos;
    if (!is_ours) continue;
    std::vector<fs::path> folders;
    const fs::path mount = root / "sys/fs/cgroup" / controller;
    for (fs::path group = fs::path(line.substr(second + 1)).relative_path();; group = group.parent_path()) {
      folders.push_back(mount / group);
      if (group.empty()) return folders;
    }
  }
  return {};
}

/// What a limit leaves: the cache of files counts as used, but the kernel gives it up when asked.
double left_in(const fs::path& group, const char* limit, const char* usage, const char* inactive_file) {
  const std::optional<double> most = number_in(group / limit);
  if (!most) return std::numeric_limits<double>::infinity();
  const double used = number_in(group / usage).value_or(0);
  return *most - std::max(0.0, used - number_after(group / "memory.stat", inactive_file).value_or(0));
}

}  // namespace

int available_threads(const fs::path& root) {
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = sched_getaffinity(0, sizeof(set), &set) == 0;
  double threads = known ? CPU_COUNT(&set) : std::thread::hardware_concurrency();
  for (const fs::path& group : control_groups(root, "")) {  // "200000 100000": microseconds of each period
    std::ifstream file(group / "cpu.max");
    double quota = 0, period = 0;
    if (file >> quota >> period && period > 0) threads = std::min(threads, quota / period);
  }
  for (const fs::path& group : control_groups(root, "cpu")) {
    const double quota = number_in(group / "cpu.cfs_quota_us").value_or(-1);  // -1: none
    const double period = number_in(group / "cpu.cfs_period_us").value_or(0);
    if (quota > 0 && period > 0) threads = std::min(threads, quota / period);
  }
  return std::max(1, static_cast<int>(std::ceil(threads)));
}

std::size_t available_memory(const fs::path& root) {
  double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (const auto kilobytes = number_after(root / "proc/meminfo", "MemAvailable:")) bytes = 1024 * *kilobytes;
  for (const fs::path& group : control_groups(root, ""))
    bytes = std::min(bytes, left_in(group, "memory.max", "memory.current", "inactive_file"));
  for (const fs::path& group : control_groups(root, "memory"))
    bytes = std::min(bytes,
                     left_in(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"));
  return static_cast<std::size_t>(std::max(0.0, bytes));
}

}  // namespace normlab
