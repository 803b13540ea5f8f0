#pragma once
// Fields of CSV files.

#include <string>
#include <string_view>

namespace normlab {

/// A field as it stands in a CSV file: quoted if it holds a comma, a quote or a line break.
[[nodiscard]] std::string csv_field(std::string_view text);
/// "%.9g"; nan, inf and -inf are spelled so.
[[nodiscard]] std::string csv_number(double value);

}  // namespace normlab
