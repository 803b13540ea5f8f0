#pragma once
// Errors say what is wrong, where, and what to do about it. Programs print what() and exit 1 (Error) or
// 2 (UsageError).

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace normlab {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
  template <typename... Args>
  explicit Error(fmt::format_string<Args...> format, Args&&... args) requires(sizeof...(Args) > 0)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

/// The user asked for something that makes no sense (an option, a configuration key): exit status 2.
struct UsageError : Error {
  using Error::Error;
};

}  // namespace normlab
