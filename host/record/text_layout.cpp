#include "host/record/text_layout.hpp"

#include <algorithm>
#include <utility>

#include "layers/as_size.hpp"

namespace normlab {

namespace {

constexpr int kGap = 2;
constexpr int kShortestFirst = 12;  ///< of a first column that is cut

int width_of(const TextColumn& column) {
  int width = text_width(column.head);
  for (const std::string& cell : column.cells) width = std::max(width, text_width(cell));
  return width;
}

int sum_of(const std::vector<int>& widths) {
  int sum = -kGap;
  for (const int width : widths) sum += width + kGap;
  return sum;
}

std::vector<int> widths_of(const std::vector<TextColumn>& columns) {
  std::vector<int> widths;
  for (const TextColumn& column : columns) widths.push_back(width_of(column));
  return widths;
}

std::string repeated(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

std::string without_end(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

int text_width(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(std::string_view text, int width, bool left_aligned) {
  const std::string space(as_size(std::max(0, width - text_width(text))), ' ');
  return left_aligned ? std::string(text) + space : space + std::string(text);
}

std::string wrapped(std::string_view words, int indent) {
  const std::string space(as_size(indent), ' ');
  std::string text, line(words.substr(0, words.find_first_not_of(' ')));
  bool is_empty = true;
  for (std::size_t at = line.size(); at < words.size();) {
    const std::size_t end = std::min(words.find(' ', at), words.size());
    const std::string_view word = words.substr(at, end - at);
    if (!is_empty && text_width(line) + 1 + text_width(word) > terminal_width) {
      text += line + "\n";
      line = space;
      is_empty = true;
    }
    if (!is_empty) line += ' ';
    line += word;
    is_empty = false;
    at = end + 1;
  }
  return text + line + "\n";
}

TextTable text_table(std::vector<TextColumn> columns) {
  TextTable table;
  std::vector<int> widths = widths_of(columns);
  while (sum_of(widths) > terminal_width) {
    const auto least = std::max_element(columns.begin(), columns.end(), [](const auto& a, const auto& b) {
      return a.leave_out < b.leave_out;
    });
    if (least->leave_out == 0) break;
    table.left_out.push_back(least->head);
    columns.erase(least);
    widths = widths_of(columns);
  }
  if (const int excess = sum_of(widths) - terminal_width; excess > 0)
    widths[0] =
        std::min(widths[0], std::max({kShortestFirst, text_width(columns[0].head), widths[0] - excess}));

  const auto add_line = [&](const auto& cell) {
    std::string line;
    if (text_width(cell(columns[0])) > widths[0]) {
      table.text += without_end(cell(columns[0]));
      line = std::string(as_size(widths[0]), ' ');
    } else {
      line = padded(cell(columns[0]), widths[0], columns[0].left_aligned);
    }
    for (std::size_t i = 1; i < columns.size(); ++i)
      line += std::string(kGap, ' ') + padded(cell(columns[i]), widths[i], columns[i].left_aligned);
    table.text += without_end(std::move(line));
  };
  add_line([](const TextColumn& column) { return column.head; });
  table.text += repeated("─", sum_of(widths)) + "\n";
  for (std::size_t row = 0; row < columns[0].cells.size(); ++row)
    add_line([row](const TextColumn& column) { return column.cells[row]; });
  return table;
}

}  // namespace normlab
