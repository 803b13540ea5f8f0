#ifndef SIMT_FIBER_HPP  // a test includes it twice
#define SIMT_FIBER_HPP
// A fiber: a stack of its own, and a switch that costs some nanoseconds. The sanitizers hear of each.

#include <cstddef>

#if !defined(__x86_64__) && !defined(NORMLAB_SIMT_UCONTEXT)
#define NORMLAB_SIMT_UCONTEXT
#endif
#ifdef NORMLAB_SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace simt {

struct Fiber {
  void* stack_pointer = nullptr;
#ifdef NORMLAB_SIMT_UCONTEXT
  ucontext_t context;
#endif
  std::byte* stack = nullptr;  // its lowest byte; null for the program's own
  std::size_t bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  void* thread = nullptr;      // ThreadSanitizer's
};

/// Stacks of `count` fibers, each above a page that nobody may touch. Never freed. Throws std::bad_alloc.
void make_stacks(Fiber* fibers, std::size_t count);

/// The fiber begins with `entry`, which must not return, whatever it did before.
void begin_fiber(Fiber& fiber, void (*entry)());

/// Goes on in `to`; returns when somebody switches back to `from`, which must be the running fiber.
void switch_fiber(Fiber& from, Fiber& to);

/// To be called first in an entry.
void fiber_entered();

// For ThreadSanitizer: what was released at an address happened before what acquires it.
void happens_before(void* at);
void happens_after(void* at);

}  // namespace simt

#endif
