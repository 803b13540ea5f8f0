#include "host/system/output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <mutex>
#include <system_error>

#include "layers/as_size.hpp"

namespace normlab {

namespace {

std::atomic<bool> is_hurried = false;

/// A stream of the system's, and what was said there and not yet written.
class Output {
 public:
  Output(int descriptor, std::size_t most) : descriptor_(descriptor), most_(most) {}
  ~Output() { flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void say(std::string_view text) {
    const std::lock_guard lock(mutex_);
    waiting_ += text;
    if (waiting_.size() > most_ || ::isatty(descriptor_) == 1) write();
  }
  void flush(std::string_view text = {}) {
    const std::lock_guard lock(mutex_);
    waiting_ += text;
    write();
  }
  /// An errno value of what could not be written; 0: none.
  int failure() {
    const std::lock_guard lock(mutex_);
    write();
    // Network file systems tell when a file is closed.
    if (const int copy = ::dup(descriptor_); copy >= 0 && ::close(copy) != 0 && failure_ == 0)
      failure_ = errno;
    return failure_;
  }

 private:
  /// In one piece, so that no half-drawn screen shows.
  void write() {
    for (std::string_view text = waiting_; !text.empty() && failure_ == 0;) {
      if (!wait_for_room()) {
        failure_ = ETIMEDOUT;
        break;
      }
      // So much goes into a pipe that has room, without waiting.
      const ssize_t count = ::write(descriptor_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
      if (count > 0) {
        text.remove_prefix(as_size(count));
      } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
        failure_ = count == 0 ? EIO : errno;
      }
    }
    waiting_.clear();
  }

  /// False where it is time to hurry and nobody reads.
  [[nodiscard]] bool wait_for_room() const {
    constexpr int milliseconds = 100, most = 10;
    for (int waited = 0; waited < most; waited += is_hurried ? 1 : 0) {
      pollfd room{descriptor_, POLLOUT, 0};
      if (::poll(&room, 1, milliseconds) != 0) return true;  // room, or an error that writing tells
    }
    return false;
  }

  const int descriptor_;
  const std::size_t most_;
  std::mutex mutex_;
  std::string waiting_;
  int failure_ = 0;
};

Output& standard_output() {
  static Output output(STDOUT_FILENO, std::size_t{1} << 14);
  return output;
}

Output& standard_error() {
  static Output output(STDERR_FILENO, 0);
  return output;
}

}  // namespace

void say_text(std::string_view text) {
  standard_output().say(text);
}

void say_error_text(std::string_view text) {
  standard_error().say(text);  // if that fails there is nobody else to tell
}

void hurry_output() {
  is_hurried = true;
}

void flush_output(std::string_view text) {
  standard_output().flush(text);
}

std::string output_failure() {
  const int error = standard_output().failure();
  return error == 0 ? "" : std::generic_category().message(error);
}

}  // namespace normlab
