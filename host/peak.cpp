#include "host/peak.hpp"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "host/vector.hpp"

namespace normlab {

namespace {

constexpr int kChains = 12;  // enough to hide the latency of an addition on every core we know
constexpr int kRounds = 20000;

/// kRounds times kChains times kLanes multiply-adds, whatever the width of a register.
struct MultiplyAddChains {
  template <typename Set>
  static NORMLAB_INLINE float run(float seed) {
    constexpr int kVecs = chains<Set>(kChains);
    Vec<Set> sum[kVecs];
    unrolled<kVecs>([&](int k)
                        NORMLAB_INLINE_LAMBDA { sum[k] = broadcast<Set>(seed * static_cast<float>(k)); });
    const Vec<Set> factor = broadcast<Set>(0.999F), term = broadcast<Set>(0.001F);
    for (int round = 0; round < kRounds * kChains / kVecs; ++round) {
      unrolled<kVecs>([&](int k) NORMLAB_INLINE_LAMBDA { sum[k] = sum[k] * factor + term; });
    }
    Vec<Set> total = zero<Set>();
    unrolled<kVecs>([&](int k) NORMLAB_INLINE_LAMBDA { total += sum[k]; });
    return total.part[0][0];
  }
};

}  // namespace

double measure_fma_peak(int threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int> ready{0};
  std::atomic<double> flops{0};
  const auto work = [&] {
    volatile float sink = kernel<MultiplyAddChains>(0.5F);  // warm
    ++ready;
    while (ready < threads) std::this_thread::yield();
    const auto start = Clock::now();
    double elapsed = 0, operations = 0;
    while (elapsed < seconds) {
      sink = kernel<MultiplyAddChains>(sink);
      operations += 2.0 * kChains * kLanes * kRounds;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    flops += operations / elapsed;
  };
  std::vector<std::thread> team;
  for (int i = 1; i < threads; ++i) team.emplace_back(work);
  work();
  for (std::thread& thread : team) thread.join();
  return flops / 1e9;
}

}  // namespace normlab
