#pragma once
// Profile: where the workers' time goes, by layer and phase.
//
// A worker reads the clock once after each step of its work and charges the time since the last reading, so
// nothing a worker does stays uncounted, and whatever is left of its time it waited for others. Each worker
// writes its own sums: no locks. The clock is the host's, or, on a device that works asynchronously, its own:
// there a reading is a mark in its work, and its time is known when a pass has ended.

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "layers/backend.hpp"

namespace normlab {

/// `backward_weights` are the parameter gradients of convolutions and linear layers, `backward_data` every
/// other way back; a normalization has two phases of its own (batch norm's partial sums count there, and the
/// output that it computes again counts as backward). `reduce` brings together what workers left apart:
/// lanes, statistics of a batch, losses. `wait` is idle time, which belongs to no layer.
enum class Phase {
  data,
  forward,
  backward_data,
  backward_weights,
  norm_forward,
  norm_backward,
  prepare,
  reduce,
  optimizer,
  wait
};
inline constexpr std::array kPhases{
    Phase::data,          Phase::forward, Phase::backward_data, Phase::backward_weights, Phase::norm_forward,
    Phase::norm_backward, Phase::prepare, Phase::reduce,        Phase::optimizer,        Phase::wait};
/// As in tables: "backward_data".
[[nodiscard]] const char* phase_name(Phase phase);

class Profile {
 public:
  /// In place of a layer's index, for what belongs to none: input, lanes, optimizer.
  static constexpr int kStep = -1;

  /// clock: what Backend::clock() returned. With one there is one worker.
  Profile(int workers, int layers, std::unique_ptr<DeviceClock> clock = nullptr);

  // For the graph and the optimizer.
  /// Starts a worker's clock.
  void start(int worker);
  /// Charges a worker's time since start() or its last lap.
  void lap(int worker, int layer, Phase phase);
  /// As lap() of worker 0, for work that all workers share and that is measured as a whole.
  void lap_of_all(int layer, Phase phase);
  /// While one lives, wall time counts. A null profile costs nothing.
  class Wall {
   public:
    explicit Wall(Profile* profile);
    ~Wall();
    Wall(const Wall&) = delete;
    Wall& operator=(const Wall&) = delete;

   private:
    Profile* profile_;
    std::chrono::steady_clock::time_point begin_;
  };

  [[nodiscard]] int workers() const { return static_cast<int>(workers_.size()); }
  [[nodiscard]] int layers() const { return layers_; }
  /// Duration of all passes and optimizer steps.
  [[nodiscard]] double wall_seconds() const;
  /// Added up over the workers: all phases together are workers() * wall_seconds().
  [[nodiscard]] double seconds(Phase phase) const;
  [[nodiscard]] double seconds(int layer, Phase phase) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Lap {
    int layer;
    Phase phase;
    bool counts;  ///< false: the time up to its mark is nobody's
  };
  void charge(int worker, int layer, Phase phase, std::int64_t nanoseconds);
  /// Charges what the device's clock has seen.
  void collect();
  struct alignas(128) Worker {  // no two on one cache line
    Clock::time_point last;
    std::vector<std::array<std::int64_t, kPhases.size()>> nanoseconds;  ///< by layer, kStep first
  };

  int layers_;
  std::vector<Worker> workers_;
  std::int64_t wall_nanoseconds_ = 0;
  std::unique_ptr<DeviceClock> clock_;
  std::vector<Lap> laps_;  ///< one for each of its marks
};

}  // namespace normlab
