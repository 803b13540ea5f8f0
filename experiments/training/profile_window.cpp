#include "experiments/training/profile_window.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normlab {

ProfileWindow::~ProfileWindow() {
  if (!is_open_) return;
  try {
    backend_.set_profiling(false);
  } catch (const std::exception&) {  // whatever ended the run says more
  }
}

void ProfileWindow::step(Steps& steps, std::int64_t number, const Steps::Work& work) {
  if (!contains(number)) {
    steps.step(work);
    return;
  }
  if (!is_open_) {
    backend_.set_profiling(true);
    clock_ = backend_.clock();
    if (clock_ != nullptr) clock_->mark();
    is_open_ = true;
  }
  steps.step(work);
  ++seen_;
  if (number < range_.last) return;
  if (clock_ != nullptr) {
    clock_->mark();
    seen_seconds_ = clock_->intervals().front();
  }
  backend_.set_profiling(false);
  is_open_ = false;
}

void ProfileWindow::run(Steps& steps, int count) {
  // The first two of a size are not: one is done directly, one recorded.
  const int unmeasured = std::min(2, count);
  if (seen_ == 0 || clock_ == nullptr || replayed_ > 0 || count == unmeasured) {
    steps.run(count);
    return;
  }
  steps.run(unmeasured);
  clock_->mark();
  steps.run(count - unmeasured);
  clock_->mark();
  replayed_ = count - unmeasured;
  replayed_seconds_ = clock_->intervals().front();
}

std::string ProfileWindow::text() const {
  if (range_.last < range_.first) return "";
  if (seen_ == 0 || is_open_)
    return fmt::format("the window of steps {} to {} was not finished", range_.first, range_.last);
  std::string text = fmt::format("steps {} to {}, kernel by kernel: {:.3f} ms in all", range_.first,
                                 range_.last, 1e3 * seen_seconds_);
  if (replayed_ > 0)
    text += fmt::format("; {} as replayed: {:.3f} ms", seen_, 1e3 * seen_ * replayed_seconds_ / replayed_);
  return text;
}

}  // namespace normlab
