#pragma once
// A terminal of a few rows that understands what our screen sends: what would a person see?

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace normlab::test {

class Terminal {
 public:
  Terminal(int columns, int rows) : columns_(columns), screen_(static_cast<std::size_t>(rows)) {}

  void feed(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
      if (text[i] == '\033' && i + 1 < text.size() && text[i + 1] == '[') {
        std::size_t end = i + 2;
        while (end < text.size() && (text[end] < '@' || text[end] > '~')) ++end;
        command(text[end], std::atoi(std::string(text.substr(i + 2, end - i - 2)).c_str()));
        i = end + 1;
      } else if (text[i] == '\n') {
        new_line();
        ++i;
      } else if (text[i] == '\r') {
        column_ = 0;
        ++i;
      } else {
        std::size_t end = i + 1;
        while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
        put(text.substr(i, end - i));
        i = end;
      }
    }
  }

  /// What scrolled away and what stands there, without blanks at the ends of lines and empty lines at the
  /// end.
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const auto* part : {&history_, &screen_}) {
      for (const Line& line : *part) {
        std::string text;
        for (const std::string& cell : line) text += cell;
        all.push_back(text.substr(0, text.find_last_not_of(' ') + 1));
      }
    }
    while (!all.empty() && all.back().empty()) all.pop_back();
    return all;
  }
  /// Lines that were too long and went on in the next row.
  [[nodiscard]] int wrapped() const { return wrapped_; }

 private:
  using Line = std::vector<std::string>;  ///< a character a cell

  void command(char what, int count) {
    if (what == 'A') row_ -= std::min(row_, static_cast<std::size_t>(std::max(1, count)));
    if (what == 'K' || what == 'J') {
      screen_[row_].resize(std::min(screen_[row_].size(), column_));
      for (std::size_t row = row_ + 1; what == 'J' && row < screen_.size(); ++row) screen_[row].clear();
    }
  }
  void new_line() {
    column_ = 0;
    if (++row_ < screen_.size()) return;
    --row_;
    history_.push_back(screen_.front());
    screen_.erase(screen_.begin());
    screen_.emplace_back();
  }
  void put(std::string_view character) {
    if (column_ == static_cast<std::size_t>(columns_)) {
      ++wrapped_;
      new_line();
    }
    Line& line = screen_[row_];
    if (line.size() <= column_) line.resize(column_ + 1, " ");
    line[column_++] = character;
  }

  int columns_, wrapped_ = 0;
  std::vector<Line> history_, screen_;
  std::size_t row_ = 0, column_ = 0;
};

}  // namespace normlab::test
