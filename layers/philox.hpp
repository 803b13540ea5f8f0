#pragma once
// Philox 4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
// as easy as 1, 2, 3" (SC 2011). A draw is a pure function of its key and counter: there is no hidden state,
// so every backend, thread count and resumed run draws the same numbers.

#include <array>
#include <cstdint>

namespace normlab {

/// What a random number is for. Numbers are keyed by (seed, purpose, epoch, sample), so two purposes never
/// share a stream. The values are part of the file formats: append, never renumber.
enum class Purpose : std::uint32_t {
  initialization = 1,
  order = 2,
  augmentation = 3,
  validation = 4,
  synthetic = 5,
  probe = 6,
};

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// Ten rounds of Philox 4x32 on `counter` with the 64-bit `key`.
constexpr PhiloxBlock philox4x32(PhiloxBlock counter, std::uint64_t key) {
  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
        static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9;  // golden ratio
    key1 += 0xBB67AE85;  // sqrt(3) - 1
  }
  return counter;
}

/// The stream of numbers of one (seed, purpose, epoch, sample): a position in a sequence, nothing else.
class Philox {
 public:
  constexpr Philox(std::uint64_t seed, Purpose purpose, std::uint32_t epoch = 0, std::uint32_t sample = 0)
      : key_(seed), counter_{0, static_cast<std::uint32_t>(purpose), epoch, sample} {}

  /// The next 32 uniform bits.
  constexpr std::uint32_t next() {
    if (used_ == 4) {
      block_ = philox4x32(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  /// A uniform integer in [0, bound), by multiplication (bias below bound / 2^32).
  constexpr std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{next()} * bound) >> 32);
  }

  /// A uniform real in (0, 1), never an end point.
  constexpr double uniform() { return (next() + 0.5) * (1.0 / 4294967296.0); }

  /// A standard normal real (Box-Muller); two uniforms each.
  double normal();

 private:
  std::uint64_t key_;
  PhiloxBlock counter_;
  PhiloxBlock block_{};
  std::size_t used_ = 4;
};

}  // namespace normlab
