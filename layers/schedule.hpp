#pragma once

#include <cstdint>
#include <string>

namespace normlab {

/// Learning rate and momentum of one step.
struct Rates {
  double lr = 0, momentum = 0;
};

/// How rates change over a run of `steps` optimizer steps; `lr` is the peak.
///   constant  lr
///   step      lr / 10 after half and again after three quarters of the run
///   cosine    lr (1 + cos(pi t / steps)) / 2
///   onecycle  PyTorch's OneCycleLR with its defaults (Smith & Topin 2018): 30 % of the run up from lr / 25,
///             then down to lr / 250,000, both as half cosines; momentum 0.95 - 0.85 - 0.95 the other way
struct Schedule {
  enum class Kind { constant, step, cosine, onecycle };
  Kind kind = Kind::onecycle;
  double lr = 0.1;
  double momentum = 0.9;
  std::int64_t steps = 1;

  /// For step t = 0, 1, ...
  [[nodiscard]] Rates at(std::int64_t t) const;
};

/// Throws UsageError for an unknown name.
[[nodiscard]] Schedule::Kind parse_schedule(const std::string& text);

}  // namespace normlab
