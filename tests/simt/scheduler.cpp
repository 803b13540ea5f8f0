// Compiled without sanitizers. One block at a time; a thread runs until it waits or ends, then the next one
// goes on, from fiber to fiber.

#include "tests/simt/scheduler.hpp"

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <utility>

#include "simt/device.hpp"
#include "tests/simt/fiber.hpp"
#include "tests/simt/machine.hpp"
#include "tests/simt/random.hpp"
#include "tests/simt/simt.hpp"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace simt {

Machine machine;

namespace {

Schedule schedule = Schedule::kWarps;
Random order(1);
Counters totals;

void thread_loop() {
  fiber_entered();
  for (;;) {
    happens_after(&machine.launched);
    (*machine.body)();
    happens_before(&machine.finished);
    thread_ended();
  }
}

// The first `count` threads have begun. (A fiber is dear to ThreadSanitizer: no more than are used.)
void make_threads(unsigned count) {
  static unsigned begun = 0;
  if (!machine.threads) {
    machine.threads = new Thread[kThreads];
    static Fiber fibers[kThreads];
    make_stacks(fibers, kThreads);
    for (unsigned i = 0; i < kThreads; ++i) machine.threads[i].fiber = fibers[i];
  }
  for (; begun < count; ++begun) begin_fiber(machine.threads[begun].fiber, thread_loop);
}

// Draws which position each thread has: the first ready position goes on.
void draw_positions(unsigned count) {
  std::uint16_t* at = machine.thread_at;
  if (schedule == Schedule::kWarps) {
    const unsigned warps = (count + 31) / 32;
    std::uint16_t warp[kThreads / 32];
    std::iota(warp, warp + warps, std::uint16_t{0});
    for (unsigned i = warps; i > 1; --i) std::swap(warp[i - 1], warp[order.below(i)]);
    unsigned position = 0;
    for (unsigned w = 0; w < warps; ++w) {
      const unsigned first = warp[w] * 32U, lanes = std::min(32U, count - first);
      const bool backward = order.next() & 1;
      for (unsigned lane = 0; lane < lanes; ++lane)
        at[position++] = static_cast<std::uint16_t>(first + (backward ? lanes - 1 - lane : lane));
    }
  } else {
    std::iota(at, at + count, std::uint16_t{0});
    if (schedule == Schedule::kThreads)
      for (unsigned i = count; i > 1; --i) std::swap(at[i - 1], at[order.below(i)]);
  }
}

void begin_block(const Grid& grid, std::uint64_t number) {
  const unsigned count = grid.block.x * grid.block.y * grid.block.z;
  draw_positions(count);
  machine.first = 0;
#ifdef NORMLAB_SIMT_TSAN  // other fibers for each block, while there are: what one fiber does is in order
  machine.first = static_cast<unsigned>(number % std::max<std::uint64_t>(1, kThreads / count)) * count;
#endif
  make_threads(machine.first + count);
  machine.count = machine.alive = count;
  machine.at_barrier = 0;
  machine.barrier_number = number % kArenas * 2;
  Thread* threads = machine.threads + machine.first;
  uint3 index{0, 0, 0};
  for (unsigned id = 0; id < count; ++id) {
    Thread& thread = threads[id];
    thread.index = index;
    thread.id = id;
    thread.state = State::kReady;
    if (++index.x == grid.block.x) {
      index.x = 0;
      if (++index.y == grid.block.y) index.y = 0, ++index.z;
    }
  }
  for (unsigned position = 0; position < count; ++position)
    threads[machine.thread_at[position]].position = position;
  for (unsigned word = 0; word < kThreads / 64; ++word)
    machine.ready[word] = count >= 64 * (word + 1) ? ~0ULL
                          : count > 64 * word      ? (1ULL << (count - 64 * word)) - 1
                                                   : 0;
  for (unsigned warp = 0; warp < kThreads / 32; ++warp) {
    machine.lanes_alive[warp] = count >= 32 * (warp + 1) ? ~0U
                                : count > 32 * warp      ? (1U << (count - 32 * warp)) - 1
                                                         : 0;
    machine.lanes_waiting[warp] = 0;
    machine.warp_number[warp] = 0;
  }
}

}  // namespace

// The ready thread that comes first in this block's order, or null.
Thread* next_thread() {
  unsigned begin = 0;
  if (schedule == Schedule::kUniform) begin = order.below(machine.count);
  const unsigned words = (machine.count + 63) / 64;
  unsigned word = begin / 64;
  std::uint64_t bits = machine.ready[word] & (~0ULL << (begin % 64));
  for (unsigned i = 0; i <= words; ++i) {
    if (bits) {
      const unsigned position = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
      return machine.threads + machine.first + machine.thread_at[position];
    }
    word = word + 1 < words ? word + 1 : 0;
    bits = machine.ready[word];
  }
  return nullptr;
}

void go_on_in(Thread* next) {
  Thread* self = machine.current;
  if (next == self) return;
  ++totals.switches;
  Fiber& from = self ? self->fiber : machine.host;
  machine.current = next;
  if (next) threadIdx = next->index;
  switch_fiber(from, next ? next->fiber : machine.host);
}

void fail(const char* format, ...) {
  const int head = std::snprintf(machine.report, sizeof machine.report, "%s, block (%u, %u, %u)",
                                 machine.name, blockIdx.x, blockIdx.y, blockIdx.z);
  auto used = static_cast<std::size_t>(head);
  if (used < sizeof machine.report && machine.current) {
    const uint3 index = machine.current->index;
    used += static_cast<std::size_t>(std::snprintf(machine.report + used, sizeof machine.report - used,
                                                   ", thread (%u, %u, %u)", index.x, index.y, index.z));
  }
  if (used < sizeof machine.report) {
    used +=
        static_cast<std::size_t>(std::snprintf(machine.report + used, sizeof machine.report - used, ": "));
    va_list values;
    va_start(values, format);
    std::vsnprintf(machine.report + used, sizeof machine.report - used, format, values);
    va_end(values);
  }
  machine.failed = true;
  if (machine.current)
    machine.current->state = State::kBarrier;  // it did not end, whatever it was about to do
  happens_before(&machine.finished);
  go_on_in(nullptr);
  __builtin_unreachable();
}

std::string run_grid(const std::string& name, const Grid& grid, const std::function<void()>& thread) {
  machine.name = name.c_str();
  machine.body = &thread;
  machine.failed = false;
  machine.host = Fiber();  // whichever thread of the program it is this time
  blockDim = grid.block;
  gridDim = grid.grid;
  shared::begin_grid(grid.shared, grid.shared_limit);
  const std::uint64_t blocks = std::uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z;
  // Blocks in the order first, first + step, ... modulo their number: all of them, for they share no divisor.
  std::uint64_t step = blocks > 1 ? 1 + order.next() % (blocks - 1) : 1;
  while (std::gcd(step, blocks) != 1) ++step;
  std::uint64_t block = order.next() % blocks;
  totals.blocks += blocks;
  totals.threads += blocks * grid.block.x * grid.block.y * grid.block.z;
  happens_before(&machine.launched);
  for (std::uint64_t i = 0; i < blocks && !machine.failed; ++i, block = (block + step) % blocks) {
    if (i > 0 && i % kArenas == 0) {  // shared memory is used again: blocks before come before
      happens_after(&machine.finished);
      happens_before(&machine.launched);
    }
    blockIdx = {static_cast<unsigned>(block % grid.grid.x),
                static_cast<unsigned>(block / grid.grid.x % grid.grid.y),
                static_cast<unsigned>(block / grid.grid.x / grid.grid.y)};
    begin_block(grid, i);
    shared::begin_block(i);
    machine.current = nullptr;
    go_on_in(next_thread());
    if (!shared::end_block() && !machine.failed) {
      std::snprintf(machine.report, sizeof machine.report,
                    "%s, block (%u, %u, %u): wrote outside of its arrays in shared memory", machine.name,
                    blockIdx.x, blockIdx.y, blockIdx.z);
      machine.failed = true;
    }
  }
  happens_after(&machine.finished);
  if (!machine.failed) return "";
  // Threads that did not end begin anew.
  for (unsigned i = 0; i < machine.count; ++i) {
    Thread& stuck = machine.threads[machine.first + i];
    if (stuck.state != State::kEnded) begin_fiber(stuck.fiber, thread_loop);
  }
  return machine.report;
}

void set_seed(std::uint64_t seed) {
  order = Random(seed);
}
void set_schedule(Schedule wanted) {
  schedule = wanted;
}

void set_variant(int variant) {
  set_seed(static_cast<std::uint64_t>(variant));
  set_schedule(static_cast<Schedule>(variant % 3));
}

Counters& mutable_counters() {
  return totals;
}
Random& random_order() {
  return order;
}

}  // namespace simt
