// Compiled without sanitizers: it tells them about switches in words.

#include "tests/simt/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#ifdef NORMLAB_SIMT_ASAN
extern "C" void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t bytes);
extern "C" void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, std::size_t* bytes);
extern "C" void __asan_unpoison_memory_region(const volatile void* from, std::size_t bytes);
#endif
#ifdef NORMLAB_SIMT_TSAN
extern "C" void* __tsan_create_fiber(unsigned flags);
extern "C" void __tsan_destroy_fiber(void* fiber);
extern "C" void __tsan_switch_to_fiber(void* fiber, unsigned flags);
extern "C" void* __tsan_get_current_fiber();
extern "C" void __tsan_acquire(void* at);
extern "C" void __tsan_release(void* at);
#endif

#ifndef NORMLAB_SIMT_UCONTEXT
// Saves the registers that a function must leave as they were, and the stack pointer.
extern "C" void simt_switch_stack(void** save, void* load);
asm(R"(
.pushsection .text
.globl simt_switch_stack
.type simt_switch_stack, @function
simt_switch_stack:
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch_stack, . - simt_switch_stack
.popsection
)");
#endif

namespace simt {
namespace {

#if defined(NORMLAB_SIMT_ASAN) || defined(NORMLAB_SIMT_TSAN)
constexpr std::size_t kStack = 256 << 10;  // reports are written on it
#else
constexpr std::size_t kStack = 64 << 10;
#endif

Fiber* came_from = nullptr;

}  // namespace

void make_stacks(Fiber* fibers, std::size_t count) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t stride = kStack + page;
  void* memory = mmap(nullptr, count * stride, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* guard = static_cast<std::byte*>(memory) + i * stride;
    mprotect(guard, page, PROT_NONE);
    fibers[i].stack = guard + page;
    fibers[i].bytes = kStack;
  }
}

#ifdef NORMLAB_SIMT_UCONTEXT

void begin_fiber(Fiber& fiber, void (*entry)()) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = fiber.bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#else

void begin_fiber(Fiber& fiber, void (*entry)()) {
  // Stacks that begin at the same offset in a page share cache sets: 1,024 of them are much slower than
  // spread ones.
  const auto number = reinterpret_cast<std::uintptr_t>(fiber.stack) / kStack;
  std::byte* top = fiber.stack + fiber.bytes - 64 - number % 31 * 64;
  auto** stack = reinterpret_cast<void**>(top);
  *--stack = nullptr;  // whom the entry would return to: here a backtrace ends
  *--stack = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--stack = nullptr;
  fiber.stack_pointer = stack;
#endif
  fiber.fake_stack = nullptr;
#ifdef NORMLAB_SIMT_ASAN
  __asan_unpoison_memory_region(fiber.stack, fiber.bytes);
#endif
#ifdef NORMLAB_SIMT_TSAN
  if (fiber.thread) __tsan_destroy_fiber(fiber.thread);
  fiber.thread = __tsan_create_fiber(0);
#endif
}

void fiber_entered() {
#ifdef NORMLAB_SIMT_ASAN
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (came_from->stack == nullptr) {
    came_from->stack = static_cast<std::byte*>(const_cast<void*>(bottom));
    came_from->bytes = bytes;
  }
#endif
}

void switch_fiber(Fiber& from, Fiber& to) {
  came_from = &from;
#ifdef NORMLAB_SIMT_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.bytes);
#endif
#ifdef NORMLAB_SIMT_TSAN
  if (!from.thread) from.thread = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.thread, 1);  // 1: a switch orders nothing
#endif
#ifdef NORMLAB_SIMT_UCONTEXT
  swapcontext(&from.context, &to.context);
#else
  simt_switch_stack(&from.stack_pointer, to.stack_pointer);
#endif
#ifdef NORMLAB_SIMT_ASAN
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(from.fake_stack, &bottom, &bytes);
  if (came_from->stack == nullptr) {
    came_from->stack = static_cast<std::byte*>(const_cast<void*>(bottom));
    came_from->bytes = bytes;
  }
#endif
}

void happens_before([[maybe_unused]] void* at) {
#ifdef NORMLAB_SIMT_TSAN
  __tsan_release(at);
#endif
}

void happens_after([[maybe_unused]] void* at) {
#ifdef NORMLAB_SIMT_TSAN
  __tsan_acquire(at);
#endif
}

}  // namespace simt
