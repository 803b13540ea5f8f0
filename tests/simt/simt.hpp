#pragma once
// How a test steers the emulated CUDA platform and looks into it. cuda/ knows nothing of this.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace simt {

/// Which of a block's threads that could go on does: the one of the warp (or the thread) that comes first in
/// a random order drawn for each block, or any. The first two show a missing barrier, the third stays close
/// to lockstep.
enum class Schedule { kWarps, kThreads, kUniform };

/// Queues: work runs when the host waits for it, streams in random order. Eager: at once, which hides every
/// missing wait but is easier to debug.
enum class Streams { kQueues, kEager };

/// Everything random follows from the seed: order of threads, blocks and streams.
void set_seed(std::uint64_t seed);
void set_schedule(Schedule schedule);
void set_streams(Streams streams);
/// Seed 0, 1, 2, ... with the three schedules in turn.
void set_variant(int variant);

struct Counters {
  std::uint64_t launches = 0;         // kernels executed, also by graphs
  std::uint64_t direct_launches = 0;  // calls of cudaLaunchKernel outside of a capture
  std::uint64_t graph_launches = 0;   // calls of cudaGraphLaunch
  std::uint64_t blocks = 0, threads = 0;
  std::uint64_t allocations = 0;  // cudaMalloc, cudaMallocHost
  std::uint64_t frees = 0;
  std::uint64_t synchronizations = 0;  // the host waited, or could have: cudaMemcpy and cudaFree, too
  std::uint64_t copies = 0;
  std::uint64_t library_calls = 0;  // convolutions, matrix products, ...
  std::uint64_t switches = 0;       // from thread to thread
};
/// Since the program began; take the difference of two.
[[nodiscard]] Counters counters();

/// The kernels executed so far: name with its namespace, without template arguments and parameters ->
/// launches.
[[nodiscard]] std::map<std::string, std::uint64_t> kernels();

/// What the emulator said about the last error: kernel, block, thread, file:line. Also printed on stderr.
[[nodiscard]] std::string report();

/// Does all work that waits, forgets sticky errors, reports and unfinished captures. For tests that provoked
/// an error.
void reset();

/// Device and pinned memory that was not freed.
[[nodiscard]] std::size_t live_allocations();
[[nodiscard]] std::size_t live_bytes();
/// Checks the guard words around every allocation. Empty, or what was damaged.
[[nodiscard]] std::string check_memory();

/// The bytes of device memory, for tests alone.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

/// An NVTX range that has ended (or is open: end == 0). Times are counts of events, beginning with 1.
struct Range {
  std::string domain, name;
  int depth = 0;  // 0: not inside of another of its domain
  std::uint64_t begin = 0, end = 0;
  std::uint64_t launches =
      0;  // calls of cudaLaunchKernel outside of a capture, and of libraries, inside of it
};
[[nodiscard]] std::vector<Range> ranges();
void clear_ranges();

/// Calls of cudaProfilerStart minus those of cudaProfilerStop.
[[nodiscard]] int profiling();

}  // namespace simt
