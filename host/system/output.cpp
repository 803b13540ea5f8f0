#include "host/system/output.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace normlab {

namespace {

std::atomic<int> first_failure{0};

void note_failure(int error) {
  int none = 0;
  first_failure.compare_exchange_strong(none, error == 0 ? EIO : error);
}

}  // namespace

void say_text(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) note_failure(errno);
}

void say_error_text(std::string_view text) {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));  // there is nobody else to tell
}

void flush_output(std::string_view text) {
  errno = 0;
  if (std::fflush(stdout) != 0) note_failure(errno);
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      note_failure(errno);
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::string output_failure() {
  flush_output();
  // Network file systems tell when a file is closed.
  if (const int copy = ::dup(STDOUT_FILENO); copy >= 0 && ::close(copy) != 0) note_failure(errno);
  if (std::ferror(stdout) != 0) note_failure(0);  // by somebody who did not look
  const int error = first_failure;
  return error == 0 ? "" : std::generic_category().message(error);
}

}  // namespace normlab
