#pragma once
// Standard output and standard error. A terminal that goes away and a full disk behind a redirection are no
// reason to lose a study, so nothing here throws; what could not be written is remembered and is an error at
// the program's end.

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace normlab {

/// Prints to standard output (buffered), and to standard error.
void say_text(std::string_view text);
void say_error_text(std::string_view text);

template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  say_text(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void say_error(fmt::format_string<Args...> format, Args&&... args) {
  say_error_text(fmt::format(format, std::forward<Args>(args)...));
}

/// Brings what was said, and then `text`, to whoever reads, in one piece.
void flush_output(std::string_view text = {});

/// From now on nobody waits for readers that do not read for more than a moment: what they do not take is
/// lost. A signal handler may call this.
void hurry_output();

/// Flushes standard output; why something that was said could not be written, or "".
[[nodiscard]] std::string output_failure();

}  // namespace normlab
