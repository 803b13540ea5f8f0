#pragma once
// Text for terminals that are 80 columns wide.

#include <string>
#include <string_view>
#include <vector>

namespace normlab {

inline constexpr int terminal_width = 80;

/// Columns that UTF-8 text takes (ours has no wide characters).
[[nodiscard]] int text_width(std::string_view text);

/// Filled up with spaces, on the right or on the left.
[[nodiscard]] std::string padded(std::string_view text, int width, bool left_aligned);

/// Words in lines of at most `terminal_width` columns, each ended by a line break; lines but the first begin
/// with `indent` spaces. A word that is longer has a line of its own.
[[nodiscard]] std::string wrapped(std::string_view words, int indent);

/// A column of a table.
struct TextColumn {
  std::string head;
  bool left_aligned = false;
  std::vector<std::string> cells;
  int leave_out = 0;  ///< where the table is too wide, columns go by falling numbers; 0: this one stays
};

struct TextTable {
  std::string text;                   ///< the heads, a rule below them, a line for each row
  std::vector<std::string> left_out;  ///< heads of the columns that had no room
};

/// At most `terminal_width` columns wide, as far as figures allow: columns that may go are left out, and then
/// a first cell that is too long stands above the others of its row.
[[nodiscard]] TextTable text_table(std::vector<TextColumn> columns);

}  // namespace normlab
