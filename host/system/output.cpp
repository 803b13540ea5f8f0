#include "host/system/output.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <system_error>

namespace normlab {

namespace {

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
    for (std::string_view text = waiting_; !text.empty();) {
      const ssize_t count = ::write(descriptor_, text.data(), text.size());
      if (count > 0) {
        text.remove_prefix(static_cast<std::size_t>(count));
      } else if (count < 0 && errno == EAGAIN) {  // a stream that somebody made not to wait
        pollfd room{descriptor_, POLLOUT, 0};
        ::poll(&room, 1, -1);
      } else if (count == 0 || errno != EINTR) {
        if (failure_ == 0) failure_ = count == 0 ? EIO : errno;
        break;
      }
    }
    waiting_.clear();
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

void flush_output(std::string_view text) {
  standard_output().flush(text);
}

std::string output_failure() {
  const int error = standard_output().failure();
  return error == 0 ? "" : std::generic_category().message(error);
}

}  // namespace normlab
