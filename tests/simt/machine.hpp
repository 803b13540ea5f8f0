#pragma once
// The state of the block that runs. One block runs at a time, in one thread of the host.

#include <cstdint>
#include <functional>

#include "simt/device.hpp"
#include "tests/simt/fiber.hpp"
#include "tests/simt/random.hpp"
#include "tests/simt/simt.hpp"

namespace simt {

constexpr unsigned kThreads = 1024;

enum class State : std::uint8_t { kReady, kBarrier, kWarp, kEnded };

struct Thread {
  Fiber fiber;
  uint3 index;
  unsigned id, position;
  State state = State::kEnded;
  Place place;  // where it waits
  // The warp operation it waits in.
  WarpOperation operation;
  unsigned mask;
  std::uint64_t value, result;
  int argument, width;

  [[nodiscard]] unsigned warp() const { return id / 32; }
  [[nodiscard]] unsigned lane() const { return id % 32; }
};

struct Machine {
  const char* name = "";                        // of the kernel
  const std::function<void()>* body = nullptr;  // what a thread does
  Thread* threads = nullptr;
  unsigned first = 0, count = 0, alive = 0;  // the block's are threads[first] to threads[first + count - 1]
  Thread* current = nullptr;                 // null: the host
  Fiber host;
  std::uint16_t thread_at[kThreads];
  std::uint64_t ready[kThreads / 64];  // bits, by position

  unsigned at_barrier = 0;
  std::uint64_t barrier_number = 0;
  Place barrier_place;
  unsigned barrier_thread = 0;  // the first to arrive
  int votes = 0, voted[2] = {};

  unsigned lanes_alive[kThreads / 32], lanes_waiting[kThreads / 32], warp_number[kThreads / 32];

  bool failed = false;
  char report[2048];

  // Addresses that mean something to ThreadSanitizer.
  char launched = 0, finished = 0;
  char barrier_objects[2 * 64], warp_objects[kThreads / 32][2];

  void set_ready(Thread& thread) {
    thread.state = State::kReady;
    ready[thread.position / 64] |= 1ULL << (thread.position % 64);
  }
  void set_waiting(Thread& thread, State why) {
    thread.state = why;
    ready[thread.position / 64] &= ~(1ULL << (thread.position % 64));
  }
};
extern Machine machine;

Thread* next_thread();
/// Null: the host.
void go_on_in(Thread* next);
/// The running thread waits or has ended: another one goes on. Reports when none can.
void wait();
void thread_ended();

Counters& mutable_counters();
Random& random_order();

}  // namespace simt
