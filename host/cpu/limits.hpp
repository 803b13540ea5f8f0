#pragma once
// What this process may use of the machine: a container is allowed less than there is.

#include <cstddef>
#include <filesystem>

namespace normlab {

/// Processors that this process may use: its affinity, and no more than its control group's share of time.
[[nodiscard]] int available_threads(const std::filesystem::path& root = "/");

/// Bytes of memory that this process could still take: what the machine has free or can free at once, and no
/// more than what the limits of its control groups (version 2 or 1) leave. `root` is where /proc and /sys
/// lie; only tests name another.
[[nodiscard]] std::size_t available_memory(const std::filesystem::path& root = "/");

}  // namespace normlab
