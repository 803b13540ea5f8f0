#include "host/record/toml_text.hpp"

#include <algorithm>
#include <array>

#include "layers/as_size.hpp"

namespace normlab {

namespace {

constexpr char kEscape = '`';

bool is_beyond_ascii(char c) {
  return static_cast<unsigned char>(c) >= 0x80;
}

std::string hidden(std::string_view text) {
  std::string ascii;
  ascii.reserve(text.size());
  for (const char c : text) {
    if (is_beyond_ascii(c) || c == kEscape) {
      ascii += fmt::format("{}{:02X}", kEscape, static_cast<unsigned char>(c));
    } else {
      ascii += c;
    }
  }
  return ascii;
}

[[noreturn]] void refuse(std::string_view text, std::size_t at, const std::string& what) {
  const std::string_view before = text.substr(0, at);
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  throw TomlError(1 + as_size(std::count(before.begin(), before.end(), '\n')), at - line_begin + 1, what);
}

/// Bytes of the UTF-8 sequence that begins here; 0 if none does (RFC 3629).
std::size_t sequence_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0), second = byte(1);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  const bool is_overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool is_no_character = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return is_overlong || is_no_character ? 0 : length;
}

/// The line with this number, from 1.
std::string_view line_of(std::string_view text, std::size_t number) {
  for (; number > 1; --number) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::string toml_string(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::size_t high = at + 2 < text.size() ? digits.find(text[at + 1]) : digits.npos;
    const std::size_t low = high != digits.npos ? digits.find(text[at + 2]) : digits.npos;
    if (text[at] == kEscape && low != digits.npos) {
      plain += static_cast<char>(16 * high + low);
      at += 2;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

toml::table parse_toml(std::string_view text) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (text.starts_with(mark)) text.remove_prefix(mark.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = sequence_at(text.substr(at));
    if (length == 0) refuse(text, at, "a byte that is not UTF-8");
    at += length;
  }
  for (const char* escaped : {"\\u0060", "\\U00000060"}) {
    const std::size_t at = text.find(escaped);
    if (at != text.npos) refuse(text, at, fmt::format("write ` itself instead of {}", escaped));
  }
  const std::string ascii = hidden(text);
  try {
    return toml::parse(std::string_view(ascii));
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    const std::string_view line = line_of(ascii, at.line);
    const std::size_t before = std::min<std::size_t>(at.column > 0 ? at.column - 1 : 0, line.size());
    const std::string seen = toml_string(line.substr(before));
    throw TomlError(at.line, toml_string(line.substr(0, before)).size() + 1,
                    !seen.empty() && is_beyond_ascii(seen.front())
                        ? "a character beyond ASCII, which belongs in strings and comments only"
                        : toml_string(error.description()));
  }
}

std::string as_utf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = sequence_at(text);
    if (length > 0) {
      result += text.substr(0, length);
    } else {
      result += fmt::format("\\x{:02X}", static_cast<unsigned char>(text.front()));
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

}  // namespace normlab
