#pragma once
// Pieces of a page: escaped text, pictures that live in the page, its style and its script.

#include <string>
#include <string_view>

#include "host/report/picture.hpp"

namespace normlab {

/// A text for HTML, in content and in quoted attributes; control characters other than line breaks and tabs
/// become spaces.
[[nodiscard]] std::string escaped(std::string_view text);

/// A picture as gnuplot wrote it, made to stand in a page: without prologue, with identifiers that are unique
/// (`name` in front), with `alt` for those who do not see it, and with ink and paper in the page's colours,
/// so that it follows light and dark.
[[nodiscard]] std::string inline_svg(std::string_view svg, std::string_view name, std::string_view alt);

/// The values of a picture's charts for the page's script, which shows them beside the pointer; "" if it has
/// none.
[[nodiscard]] std::string hover_data(const Picture& picture);

/// The page's style sheet: light and dark, paper, and screens down to a phone's.
extern const std::string_view page_style;
/// Sorts a table when the head of a column is clicked and shows the values below the pointer; the page is
/// whole without it.
extern const std::string_view page_script;

}  // namespace normlab
