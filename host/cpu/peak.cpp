#include "host/cpu/peak.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "host/cpu/vector.hpp"
#include "layers/as_size.hpp"

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

struct alignas(64) Line {
  float values[kLanes];
};
constexpr int kLinesATurn = 4;  // keep enough loads in flight

/// a = b + s c; count is a multiple of a turn.
struct Triad {
  template <typename Set>
  static NORMLAB_INLINE void run(float* a, const float* b, const float* c, float s, std::size_t count) {
    const Vec<Set> factor = broadcast<Set>(s);
    for (std::size_t i = 0; i < count; i += kLinesATurn * kLanes) {
      unrolled<kLinesATurn>([&](int k) NORMLAB_INLINE_LAMBDA {
        const std::size_t at = i + as_size(k * kLanes);
        store(a + at, load<Set>(b + at) + factor * load<Set>(c + at));
      });
    }
  }
};

/// On each of `threads` threads, all at once, calls make_work(thread) and then what it returned, for about
/// `seconds`; returns by how much `amount` a call adds up to in a second.
template <typename MakeWork>
double rate_together(int threads, double seconds, double amount, const MakeWork& make_work) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int> ready{0};
  std::atomic<double> total{0};
  const auto member = [&](int thread) {
    auto work = make_work(thread);
    work();  // warm
    ++ready;
    while (ready < threads) std::this_thread::yield();
    const auto start = Clock::now();
    double elapsed = 0, done = 0;
    while (elapsed < seconds) {
      work();
      done += amount;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    total += done / elapsed;
  };
  std::vector<std::thread> team;
  for (int i = 1; i < threads; ++i) team.emplace_back(member, i);
  member(0);
  for (std::thread& thread : team) thread.join();
  return total;
}

}  // namespace

double measure_fma_peak(int threads, double seconds) {
  const double flops = rate_together(threads, seconds, 2.0 * kChains * kLanes * kRounds, [](int) {
    return [sink = 0.5F]() mutable {
      volatile float kept = kernel<MultiplyAddChains>(sink);
      sink = kept;
    };
  });
  return flops / 1e9;
}

double measure_bandwidth(int threads, std::size_t bytes, double seconds) {
  const std::size_t lines = std::max<std::size_t>(1, bytes / (3 * kLinesATurn * sizeof(Line))) * kLinesATurn;
  const std::size_t extent = lines * sizeof(Line), count = lines * kLanes;
  // Small arrays are run through several times a call: reading the clock must not count.
  const int sweeps = static_cast<int>(std::max<std::size_t>(1, (std::size_t{4} << 20) / extent));
  std::vector<std::unique_ptr<Line[]>> memory;
  for (int i = 0; i < threads; ++i) memory.push_back(std::make_unique_for_overwrite<Line[]>(3 * lines));
  const double moved = 3.0 * static_cast<double>(extent) * sweeps;
  const double rate = rate_together(threads, seconds, moved, [&](int thread) {
    auto* a = reinterpret_cast<float*>(memory[as_size(thread)].get());
    std::fill_n(a, 3 * count, 1.0F);  // by this thread, so that it lies near its core
    return [=] {
      for (int sweep = 0; sweep < sweeps; ++sweep) kernel<Triad>(a, a + count, a + 2 * count, 0.5F, count);
    };
  });
  return rate / 1e9;
}

std::size_t cache_bytes_per_thread() {
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? as_size(bytes) / 2 : std::size_t{256} << 10;
}

std::size_t memory_bytes_per_thread(int threads) {
  // The size of the last cache cannot be trusted (a virtual machine may report its host's).
  constexpr std::size_t kAll = std::size_t{256} << 20, kEach = std::size_t{32} << 20;
  return std::max(kEach, kAll / as_size(threads));
}

}  // namespace normlab
