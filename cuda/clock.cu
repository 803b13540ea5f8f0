// Time on the device, by events: a mark costs the device well under a microsecond, and the host nothing but
// the call.

#include "cuda/device.hpp"

namespace normlab::NORMLAB_PLATFORM {

namespace {

class EventClock : public DeviceClock {
 public:
  explicit EventClock(cudaStream_t stream) : stream_(stream) {}

  void mark() override {
    if (used_ == events_.size()) events_.push_back(TimingEvent::make());
    NORMLAB_CHECK(cudaEventRecord(events_[used_++].get(), stream_));
  }

  std::vector<double> intervals() override {
    std::vector<double> seconds;
    if (used_ > 0) NORMLAB_CHECK(cudaEventSynchronize(events_[used_ - 1].get()));
    for (std::size_t i = 1; i < used_; ++i) {
      float milliseconds = 0;
      NORMLAB_CHECK(cudaEventElapsedTime(&milliseconds, events_[i - 1].get(), events_[i].get()));
      seconds.push_back(1e-3 * static_cast<double>(milliseconds));
    }
    used_ = 0;
    return seconds;
  }

 private:
  cudaStream_t stream_;
  std::vector<TimingEvent> events_;
  std::size_t used_ = 0;
};

}  // namespace

std::unique_ptr<DeviceClock> CudaBackend::clock() {
  return std::make_unique<EventClock>(stream());
}

}  // namespace normlab::NORMLAB_PLATFORM
