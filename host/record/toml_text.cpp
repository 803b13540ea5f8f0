#include "host/record/toml_text.hpp"

#include <algorithm>

namespace normlab {

namespace {

constexpr std::string_view kSpaces = " \t\r\n";

/// Walks over a text. Where toml++ would have stopped at an error it may go wrong, for what follows is never
/// looked at.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// Where the first stray byte is, or npos.
  std::size_t find() {
    constexpr std::string_view mark = "\xEF\xBB\xBF";
    if (text_.starts_with(mark)) at_ = mark.size();
    char before = '\n';  // the last character that was no space
    while (at_ < text_.size() && !is_stray_) {
      const char c = text_[at_];
      // Elsewhere a quote is a mistake: toml++ reads on over it, looking for the end of the value.
      const bool begins = std::string_view("\n=,[{").find(before) != std::string_view::npos;
      const bool is_dotted = before == '.';  // part of a key, or a mistake in a number
      if (c != ' ' && c != '\t' && c != '\r') before = c;
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if ((begins || is_dotted) && (c == '"' || c == '\'')) {
        skip_string(c, !is_dotted);
      } else {
        step();
      }
    }
    return is_stray_ ? at_ : std::string_view::npos;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  bool is_stray_ = false;

  /// Over one byte, unless it is beyond ASCII.
  void step() {
    is_stray_ = at_ < text_.size() && static_cast<unsigned char>(text_[at_]) >= 0x80;
    if (!is_stray_) ++at_;
  }

  void skip_string(char quote, bool may_hold_all) {
    const std::string_view three = quote == '"' ? "\"\"\"" : "'''";
    const bool is_long = text_.substr(at_).starts_with(three);
    for (at_ += is_long ? 3 : 1; at_ < text_.size() && !is_stray_;) {
      if (quote == '"' && text_[at_] == '\\') {
        ++at_;
        const bool swallows = at_ < text_.size() && kSpaces.find(text_[at_]) != std::string_view::npos;
        if (swallows) at_ = std::min(text_.find_first_not_of(kSpaces, at_), text_.size());
        const bool is_ascii = at_ < text_.size() && static_cast<unsigned char>(text_[at_]) < 0x80;
        if (!swallows || !is_ascii) step();
      } else if (is_long && text_.substr(at_).starts_with(three)) {
        at_ += 3;
        // A long string may end with two quotes of its own.
        for (int own = 0; own < 2 && at_ < text_.size() && text_[at_] == quote; ++own) ++at_;
        return;
      } else if (!is_long && (text_[at_] == quote || text_[at_] == '\n')) {
        ++at_;
        return;
      } else if (may_hold_all) {
        ++at_;
      } else {
        step();
      }
    }
  }
};

}  // namespace

std::optional<TextPlace> stray_character(std::string_view toml) {
  const std::size_t at = Scanner(toml).find();
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view before = toml.substr(0, at);
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  return TextPlace{static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
                   static_cast<int>(at - line_begin) + 1};
}

}  // namespace normlab
