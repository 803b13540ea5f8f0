#include "layers/profile.hpp"

#include <cmath>

#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

std::int64_t nanoseconds_between(std::chrono::steady_clock::time_point begin,
                                 std::chrono::steady_clock::time_point end) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
}

}  // namespace

const char* phase_name(Phase phase) {
  switch (phase) {
    case Phase::data:
      return "data";
    case Phase::forward:
      return "forward";
    case Phase::backward_data:
      return "backward_data";
    case Phase::backward_weights:
      return "backward_weights";
    case Phase::norm_forward:
      return "norm_forward";
    case Phase::norm_backward:
      return "norm_backward";
    case Phase::prepare:
      return "prepare";
    case Phase::reduce:
      return "reduce";
    case Phase::optimizer:
      return "optimizer";
    case Phase::wait:
      return "wait";
  }
  return "?";
}

Profile::Profile(int workers, int layers, std::unique_ptr<DeviceClock> clock)
    : layers_(layers), workers_(as_size(workers)), clock_(std::move(clock)) {
  if (clock_ != nullptr && workers != 1)
    throw Error("Profile: a device's clock is for one worker, got {}", workers);
  for (Worker& worker : workers_) worker.nanoseconds.resize(as_size(layers) + 1);
}

void Profile::start(int worker) {
  if (clock_ != nullptr) {
    clock_->mark();
    laps_.push_back({kStep, Phase::wait, false});
    return;
  }
  workers_[as_size(worker)].last = Clock::now();
}

void Profile::lap(int worker, int layer, Phase phase) {
  if (clock_ != nullptr) {
    clock_->mark();
    laps_.push_back({layer, phase, true});
    return;
  }
  Worker& own = workers_[as_size(worker)];
  const Clock::time_point now = Clock::now();
  charge(worker, layer, phase, nanoseconds_between(own.last, now));
  own.last = now;
}

void Profile::charge(int worker, int layer, Phase phase, std::int64_t nanoseconds) {
  workers_[as_size(worker)].nanoseconds[as_size(layer + 1)][static_cast<std::size_t>(phase)] += nanoseconds;
}

void Profile::collect() {
  const std::vector<double> seconds = clock_->intervals();
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    const auto nanoseconds = static_cast<std::int64_t>(std::llround(1e9 * seconds[i]));
    wall_nanoseconds_ += nanoseconds;
    const Lap& lap = laps_[i + 1];
    if (lap.counts) charge(0, lap.layer, lap.phase, nanoseconds);
  }
  laps_.clear();
}

void Profile::lap_of_all(int layer, Phase phase) {
  for (Worker& worker : workers_) worker.last = workers_.front().last;
  for (int worker = 0; worker < workers(); ++worker) lap(worker, layer, phase);
}

Profile::Wall::Wall(Profile* profile) : profile_(profile) {
  if (profile_ == nullptr) return;
  if (profile_->clock_ != nullptr) profile_->start(0);
  begin_ = Clock::now();
}

Profile::Wall::~Wall() {
  if (profile_ == nullptr) return;
  if (profile_->clock_ == nullptr) {
    profile_->wall_nanoseconds_ += nanoseconds_between(begin_, Clock::now());
    return;
  }
  try {
    profile_->collect();
  } catch (const std::exception&) {  // the device failed: whoever uses it next says so, with its words
    profile_->laps_.clear();
  }
}

double Profile::wall_seconds() const {
  return static_cast<double>(wall_nanoseconds_) / 1e9;
}

double Profile::seconds(int layer, Phase phase) const {
  std::int64_t sum = 0;
  for (const Worker& worker : workers_) {
    sum += worker.nanoseconds[as_size(layer + 1)][static_cast<std::size_t>(phase)];
  }
  return static_cast<double>(sum) / 1e9;
}

double Profile::seconds(Phase phase) const {
  double sum = 0;
  if (phase == Phase::wait) {
    for (const Phase busy : kPhases) sum += busy == Phase::wait ? 0 : seconds(busy);
    return workers() * wall_seconds() - sum;
  }
  for (int layer = kStep; layer < layers_; ++layer) sum += seconds(layer, phase);
  return sum;
}

}  // namespace normlab
