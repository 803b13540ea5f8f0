#pragma once
// --profile-steps: steps of a run that a GPU's profilers look at.

#include <memory>
#include <string>

#include "experiments/options/step_range.hpp"
#include "layers/steps.hpp"

namespace normlab {

/// Steps in the window are done directly, so that the ranges around their kernels enclose them; profilers are
/// told when it begins and ends. Their time and that of replayed steps after it are taken by the device's
/// clock.
class ProfileWindow {
 public:
  ProfileWindow(Backend& backend, StepRange range) : backend_(backend), range_(range) {}
  ProfileWindow(const ProfileWindow&) = delete;
  ProfileWindow& operator=(const ProfileWindow&) = delete;
  ~ProfileWindow();

  [[nodiscard]] bool contains(std::int64_t step) const { return range_.contains(step); }
  /// Does step number `number`, the next, directly; in the window or not.
  void step(Steps& steps, std::int64_t number, const Steps::Work& work);
  /// Enqueues the next `count` steps, none of which is in the window.
  void run(Steps& steps, int count);
  /// For people; empty without a window.
  [[nodiscard]] std::string text() const;

 private:
  Backend& backend_;
  const StepRange range_;
  std::unique_ptr<DeviceClock> clock_;
  bool is_open_ = false;
  int seen_ = 0, replayed_ = 0;  ///< steps
  double seen_seconds_ = 0, replayed_seconds_ = 0;
};

}  // namespace normlab
