#pragma once
// Runs a kernel: block after block in random order, the threads of a block as fibers.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "simt/types.hpp"

namespace simt {

struct Grid {
  dim3 grid, block;
  std::size_t shared = 0;        // dynamic shared memory, bytes
  std::size_t shared_limit = 0;  // of static and dynamic together
};

/// Empty, or what went wrong: then the kernel ended there.
std::string run_grid(const std::string& name, const Grid& grid, const std::function<void()>& thread);

/// Ends the kernel, from inside of it, with a report.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Shared memory of the block that runs.
namespace shared {
constexpr std::size_t kDefaultLimit = 48 << 10;
constexpr std::size_t kOptInLimit = 227 << 10;
void begin_grid(std::size_t dynamic, std::size_t limit);
void begin_block(std::uint64_t number);
/// False: somebody wrote between the arrays.
[[nodiscard]] bool end_block();
}  // namespace shared

/// Blocks with shared memory of their own, before it is used again.
#ifdef NORMLAB_SIMT_TSAN
constexpr std::uint64_t kArenas = 64;
#else
constexpr std::uint64_t kArenas = 1;
#endif

}  // namespace simt
