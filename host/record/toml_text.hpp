#pragma once
// What must be known about a TOML text before toml++ sees it.

#include <optional>
#include <string_view>

namespace normlab {

struct TextPlace {
  int line = 1, column = 1;  ///< both from 1; columns count bytes
};

/// The first byte beyond ASCII where toml++ 3.3 would take it for a possible space: outside strings and
/// comments, where TOML allows none (but a byte order mark at the very beginning), in quoted keys after a dot,
/// and right after a backslash or the line ends that one swallows. There the library's is_non_ascii_horizontal_whitespace() runs into
/// undefined behaviour on most characters (its `default: unreachable`), so such a text is refused.
[[nodiscard]] std::optional<TextPlace> stray_character(std::string_view toml);

}  // namespace normlab
