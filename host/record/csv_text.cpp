#include "host/record/csv_text.hpp"

#include <fmt/format.h>

#include <cmath>

namespace normlab {

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_number(double value) {
  // Whatever its sign bit, a NaN is just nan.
  return std::isnan(value) ? "nan" : fmt::format("{:.9g}", value);
}

}  // namespace normlab
