// Compiled without sanitizers. Where threads wait for each other: barriers, warp operations, the end; and
// what can be wrong there.

#include <algorithm>
#include <bit>
#include <cstdio>

#include "tests/simt/machine.hpp"
#include "tests/simt/scheduler.hpp"

namespace simt {
namespace {

Thread& thread_of(unsigned id) {
  return machine.threads[machine.first + id];
}

const char* name_of(WarpOperation operation) {
  static const char* const kNames[] = {"__syncwarp",       "__shfl_sync",     "__shfl_up_sync",
                                       "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync",
                                       "__all_sync",       "__any_sync"};
  return kNames[static_cast<int>(operation)];
}

// "thread 3 waits in __syncthreads at file:line", at most four of them.
[[noreturn]] void report_deadlock() {
  char text[1024];
  std::size_t used = 0;
  int listed = 0;
  const Thread* last = nullptr;
  for (unsigned id = 0; id < machine.count && listed < 4; ++id) {
    const Thread& thread = thread_of(id);
    if (thread.state == State::kEnded) continue;
    if (last && last->state == thread.state && last->place.line() == thread.place.line() &&
        (thread.state == State::kBarrier || last->mask == thread.mask))
      continue;
    last = &thread;
    ++listed;
    const char* what = thread.state == State::kBarrier ? "__syncthreads" : name_of(thread.operation);
    used += static_cast<std::size_t>(std::snprintf(text + used, sizeof text - used,
                                                   "; thread %u waits in %s at %s:%u", id, what,
                                                   thread.place.file_name(), thread.place.line()));
    if (thread.state == State::kWarp && used < sizeof text)
      used += static_cast<std::size_t>(
          std::snprintf(text + used, sizeof text - used, " with mask 0x%08x", thread.mask));
    if (used >= sizeof text) break;
  }
  fail("no thread can go on, %u have left the kernel%s", machine.count - machine.alive, used ? text : "");
}

std::uint64_t result_for(const Thread& thread, const Thread* warp, unsigned votes) {
  const int lane = static_cast<int>(thread.lane()), width = thread.width;
  const int first = lane / width * width;
  int source = lane;
  switch (thread.operation) {
    case WarpOperation::kSync:
      return 0;
    case WarpOperation::kBallot:
      return votes;
    case WarpOperation::kAny:
      return votes != 0;
    case WarpOperation::kAll:
      return votes == thread.mask;
    case WarpOperation::kShuffle:
      source = first + (thread.argument & (width - 1));
      break;
    case WarpOperation::kShuffleUp:
      if (lane - thread.argument >= first) source = lane - thread.argument;
      break;
    case WarpOperation::kShuffleDown:
      if (lane + thread.argument < first + width) source = lane + thread.argument;
      break;
    case WarpOperation::kShuffleXor:
      if ((lane ^ thread.argument) < first + width) source = lane ^ thread.argument;
      break;
  }
  const bool present = (thread.mask >> source) & 1;
  return present ? warp[source].value : ~0ULL;  // from a lane outside of the mask: anything, here NaN
}

}  // namespace

void wait() {
  Thread* next = next_thread();
  if (!next && machine.alive > 0) report_deadlock();
  go_on_in(next);
}

void thread_ended() {
  Thread& self = *machine.current;
  machine.set_waiting(self, State::kEnded);
  --machine.alive;
  machine.lanes_alive[self.warp()] &= ~(1U << self.lane());
  if (machine.at_barrier > 0) {
    fail("left the kernel while thread %u waits in __syncthreads at %s:%u", machine.barrier_thread,
         machine.barrier_place.file_name(), machine.barrier_place.line());
  }
  for (unsigned lanes = machine.lanes_waiting[self.warp()]; lanes; lanes &= lanes - 1) {
    const Thread& other = thread_of(self.warp() * 32 + static_cast<unsigned>(std::countr_zero(lanes)));
    if ((other.mask >> self.lane()) & 1) {
      fail("left the kernel while thread %u waits for it in %s at %s:%u, mask 0x%08x", other.id,
           name_of(other.operation), other.place.file_name(), other.place.line(), other.mask);
    }
  }
  wait();
}

int barrier_count(int predicate, const Place& place) {
  Thread& self = *machine.current;
  if (machine.alive < machine.count) {
    unsigned gone = 0;
    while (thread_of(gone).state != State::kEnded) ++gone;
    fail("__syncthreads at %s:%u, but thread %u has left the kernel", place.file_name(), place.line(), gone);
  }
  if (machine.at_barrier == 0) {
    machine.barrier_place = place;
    machine.barrier_thread = self.id;
  } else if (place.line() != machine.barrier_place.line() ||
             place.column() != machine.barrier_place.column()) {
    fail("__syncthreads at %s:%u, but thread %u waits in the one at %s:%u", place.file_name(), place.line(),
         machine.barrier_thread, machine.barrier_place.file_name(), machine.barrier_place.line());
  }
  const std::uint64_t number = machine.barrier_number;
  char* object = &machine.barrier_objects[number % sizeof machine.barrier_objects];
  happens_before(object);
  machine.votes += predicate != 0;
  self.place = place;
  machine.set_waiting(self, State::kBarrier);
  if (++machine.at_barrier == machine.count) {
    machine.at_barrier = 0;
    machine.barrier_number = number ^ 1;  // of two objects in turn
    machine.voted[number & 1] = machine.votes;
    machine.votes = 0;
    for (unsigned id = 0; id < machine.count; ++id) machine.set_ready(thread_of(id));
  }
  wait();
  happens_after(object);
  return machine.voted[number & 1];
}

void barrier(const Place& place) {
  barrier_count(0, place);
}

std::uint64_t warp(WarpOperation operation, unsigned mask, std::uint64_t value, int argument, int width,
                   const Place& place) {
  Thread& self = *machine.current;
  const unsigned warp = self.warp();
  if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width)))
    fail("%s at %s:%u: width %d is no power of two up to 32", name_of(operation), place.file_name(),
         place.line(), width);
  if (!((mask >> self.lane()) & 1))
    fail("%s at %s:%u: mask 0x%08x does not name the lane that calls", name_of(operation), place.file_name(),
         place.line(), mask);
  if (const unsigned absent = mask & ~machine.lanes_alive[warp]; absent) {
    const unsigned id = warp * 32 + static_cast<unsigned>(std::countr_zero(absent));
    fail("%s at %s:%u: mask 0x%08x names thread %u, %s", name_of(operation), place.file_name(), place.line(),
         mask, id, id < machine.count ? "which has left the kernel" : "which the block does not have");
  }
  self.operation = operation;
  self.mask = mask;
  self.value = value;
  self.argument = argument;
  self.width = width;
  self.place = place;
  machine.set_waiting(self, State::kWarp);
  char* object = &machine.warp_objects[warp][machine.warp_number[warp] & 1];
  happens_before(object);
  const unsigned waiting = machine.lanes_waiting[warp] |= 1U << self.lane();
  if ((waiting & mask) == mask) {
    Thread* lanes = &thread_of(warp * 32);
    unsigned votes = 0;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
      const unsigned lane = static_cast<unsigned>(std::countr_zero(rest));
      const Thread& other = lanes[lane];
      if (other.operation != operation || other.mask != mask || other.width != width) {
        fail("%s at %s:%u with mask 0x%08x, but thread %u waits in %s at %s:%u with mask 0x%08x",
             name_of(operation), place.file_name(), place.line(), mask, other.id, name_of(other.operation),
             other.place.file_name(), other.place.line(), other.mask);
      }
      if (other.value) votes |= 1U << lane;
    }
    for (unsigned rest = mask; rest; rest &= rest - 1) {
      Thread& other = lanes[std::countr_zero(rest)];
      other.result = result_for(other, lanes, votes);
    }
    for (unsigned rest = mask; rest; rest &= rest - 1) machine.set_ready(lanes[std::countr_zero(rest)]);
    machine.lanes_waiting[warp] &= ~mask;
    ++machine.warp_number[warp];
  }
  wait();
  happens_after(object);
  return self.result;
}

void trap(const Place& place) {
  fail("__trap at %s:%u", place.file_name(), place.line());
}

}  // namespace simt
