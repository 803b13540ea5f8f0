// Fibers, and their portable form, which no kernel runs on where the assembly does.

#include <gtest/gtest.h>

#include <string>

#include "tests/simt/fiber.hpp"

#define NORMLAB_SIMT_UCONTEXT
#define simt simt_portable
#undef SIMT_FIBER_HPP
#include "tests/simt/fiber.cpp"  // NOLINT
#undef simt

namespace simt_test {

std::string trace;

// Three fibers that each write their letter and go on in the next, thrice; the last time back to the program.
template <typename Fiber, void (*Switch)(Fiber&, Fiber&), void (*Entered)()>
struct Round {
  static inline Fiber host, fibers[3];
  static inline int next = 0;

  static void entry() {
    Entered();
    const int self = next;
    volatile double kept = self + 0.5;
    for (int round = 0;; ++round) {
      trace += static_cast<char>('a' + self);
      EXPECT_EQ(kept, self + 0.5);
      next = (self + 1) % 3;
      Switch(fibers[self], self == 2 && round % 3 == 2 ? host : fibers[next]);
    }
  }

  template <typename Begin>
  static std::string run(Begin begin) {
    trace.clear();
    for (Fiber& fiber : fibers) begin(fiber, entry);
    for (int i = 0; i < 2; ++i) {
      next = 0;
      Switch(host, fibers[0]);
      trace += '|';
    }
    for (Fiber& fiber : fibers) begin(fiber, entry);  // anew, where they stood in the middle
    next = 0;
    Switch(host, fibers[0]);
    return trace;
  }
};

TEST(SimtFiber, KeepTheirStacks) {
  using Native = Round<simt::Fiber, simt::switch_fiber, simt::fiber_entered>;
  simt::make_stacks(Native::fibers, 3);
  EXPECT_EQ(Native::run(simt::begin_fiber), "abcabcabc|abcabcabc|abcabcabc");
}

TEST(SimtFiber, ThePortableOnesToo) {
  using Portable = Round<simt_portable::Fiber, simt_portable::switch_fiber, simt_portable::fiber_entered>;
  simt_portable::make_stacks(Portable::fibers, 3);
  EXPECT_EQ(Portable::run(simt_portable::begin_fiber), "abcabcabc|abcabcabc|abcabcabc");
}

}  // namespace simt_test
