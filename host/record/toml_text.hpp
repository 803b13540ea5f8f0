#pragma once
// TOML texts, so that toml++ sees nothing but ASCII: version 3.3 takes any other character outside strings
// (and after some backslashes) for a possible space, and its is_non_ascii_horizontal_whitespace() then runs
// into undefined behaviour (`default: unreachable`). Each byte beyond ASCII goes through it as `XX, in
// hexadecimal.

#include <string>
#include <string_view>

#include "layers/error.hpp"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace normlab {

/// What is wrong with a TOML text, and where: line and column count from 1, columns in bytes.
struct TomlError : Error {
  TomlError(std::size_t line_, std::size_t column_, const std::string& what)
      : Error("{}", what), line(line_), column(column_) {}
  std::size_t line, column;
};

/// Parses a text in UTF-8. Keys and strings of the table are to be read through toml_string(). Throws
/// TomlError.
[[nodiscard]] toml::table parse_toml(std::string_view text);

/// The text itself if it is UTF-8, which TOML and JSON must be; each other byte, as of a path in an older
/// encoding, is written as \xE9.
[[nodiscard]] std::string as_utf8(std::string_view text);

/// A key or string of such a table as it stood in the text.
[[nodiscard]] std::string toml_string(std::string_view text);

}  // namespace normlab
