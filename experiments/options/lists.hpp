#pragma once
// Lists as people type them: 16,128.

#include <charconv>
#include <optional>
#include <string>
#include <vector>

namespace normlab {

/// The whole of `text` as a number.
template <typename Number>
[[nodiscard]] std::optional<Number> parse_number(const std::string& text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Throws UsageError for a list of nothing.
void check_not_empty(const std::string& option, const std::string& text);

/// "a,b" and "a, b" are a and b; "a," is a, and "" one empty part.
[[nodiscard]] std::vector<std::string> split_list(const std::string& text);
/// The text of which split_list makes these items, and which cannot be taken for a single value: "a,b" or
/// "a,".
[[nodiscard]] std::string join_list(const std::vector<std::string>& items);

/// "16,128" as typed for `option`: whole numbers, no one twice. Throws UsageError.
[[nodiscard]] std::vector<int> number_list(const std::string& option, const std::string& text);
/// "0.5,1e-3": finite numbers, no one twice.
[[nodiscard]] std::vector<double> real_list(const std::string& option, const std::string& text);
/// "he,torch": words, no one twice and none empty.
[[nodiscard]] std::vector<std::string> word_list(const std::string& option, const std::string& text);

}  // namespace normlab
