#pragma once
// Names for stretches of a device's work, as its profilers show them: step, forward, backward, optimizer,
// each layer.

#include <string>

#include "layers/backend.hpp"

namespace normlab {

/// What is given to the device while one lives has its name. Ranges nest. For a device with one worker: where
/// several work at once there is no order in which ranges could nest, and none is shown.
class Range {
 public:
  Range(Backend& backend, const std::string& name) : backend_(backend) { backend_.begin_range(name); }
  ~Range() { backend_.end_range(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  Backend& backend_;
};

/// The half of a pass that is going on, forward or backward: one range ends where the next begins.
class HalfRange {
 public:
  explicit HalfRange(Backend& backend) : backend_(backend), shown_(backend.workers() == 1) {}
  ~HalfRange() {
    if (half_ != Half::none) backend_.end_range();
  }
  HalfRange(const HalfRange&) = delete;
  HalfRange& operator=(const HalfRange&) = delete;

  void enter(bool backward) {
    const Half half = backward ? Half::backward : Half::forward;
    if (!shown_ || half == half_) return;
    if (half_ != Half::none) backend_.end_range();
    half_ = half;
    backend_.begin_range(backward ? "backward" : "forward");
  }

 private:
  enum class Half { none, forward, backward };
  Backend& backend_;
  const bool shown_;  ///< several workers would end each other's ranges
  Half half_ = Half::none;
};

}  // namespace normlab
