#include "host/system/shell_word.hpp"

namespace normlab {

namespace {

std::string in_quotes(std::string_view text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  word += '\'';
  return word;
}

}  // namespace

std::string shell_word(std::string_view text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%";
  const bool is_plain = !text.empty() && text.find_first_not_of(plain) == std::string_view::npos;
  return is_plain ? std::string(text) : in_quotes(text);
}

std::string shell_path(const std::filesystem::path& path) {
  std::string text = path.string();
  if (text.starts_with('-')) text.insert(0, "./");
  // As the name of a program, a=b would be an assignment.
  return text.find('=') == std::string::npos ? shell_word(text) : in_quotes(text);
}

}  // namespace normlab
