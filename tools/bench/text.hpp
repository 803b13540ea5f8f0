#pragma once
// Numbers, aligned columns and CSV lines, for everything that bench prints.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "host/record/csv_text.hpp"

namespace normlab::bench {

using Row = std::vector<std::string>;

inline std::string number(double value, int digits = 0) {
  return fmt::format("{:.{}f}", value, digits);
}

/// Columns as wide as they must be; the first `left` stand at the left.
inline std::string aligned(const std::vector<Row>& rows, std::size_t left) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? "" : "  ";
      line += i < left ? fmt::format("{:<{}}", row[i], widths[i]) : fmt::format("{:>{}}", row[i], widths[i]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

inline void append(Row& row, const Row& more) {
  row.insert(row.end(), more.begin(), more.end());
}

inline std::string csv_line(const Row& row) {
  return fmt::format("{}\n", fmt::join(row, ","));
}

inline std::string csv_number(double value) {
  return fmt::format("{:.9g}", value);
}

}  // namespace normlab::bench
