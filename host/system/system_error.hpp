#pragma once
// What the operating system refused, in words that help.

#include <exception>
#include <filesystem>
#include <string>
#include <string_view>

#include "layers/error.hpp"

namespace normlab {

/// The operating system refused something.
struct SystemError : Error {
  SystemError(int code_, const std::string& what) : Error(what), code(code_) {}

  /// Something lies there, but nobody may look at it now: it must not be taken for absent or damaged.
  [[nodiscard]] bool hides_something() const;

  int code;  ///< an errno value
};

/// What was wanted of a file: what helps against a lack of permission depends on it.
enum class Access { read, write };

/// Throws SystemError: "cannot <doing> '<path>': <reason>; <remedy>", for an errno value.
[[noreturn]] void throw_system_error(int error, std::string_view doing, const std::filesystem::path& path,
                                     Access access = Access::write);

/// What an exception says, for people: what() of those of the standard library tells of no limit and no
/// remedy.
[[nodiscard]] std::string reason_of(const std::exception& error);

}  // namespace normlab
