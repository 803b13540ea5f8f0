#include "experiments/options/lists.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "layers/error.hpp"

namespace normlab {

namespace {

template <typename Value>
std::vector<Value> list_of(const std::string& option, const std::string& text, const char* what,
                           std::optional<Value> (*parse)(const std::string&)) {
  std::vector<Value> list;
  check_not_empty(option, text);
  for (const std::string& part : split_list(text)) {
    const std::optional<Value> value = parse(part);
    if (!value) throw UsageError("{}: '{}' is no {}; separate several by commas", option, part, what);
    if (std::find(list.begin(), list.end(), *value) != list.end())
      throw UsageError("{}: {} stands there twice", option, part);
    list.push_back(*value);
  }
  return list;
}

}  // namespace

void check_not_empty(const std::string& option, const std::string& text) {
  if (split_list(text) == std::vector<std::string>{""})
    throw UsageError("{}: the list is empty ('')", option);
}

std::vector<std::string> split_list(const std::string& text) {
  const auto trimmed = [](std::string_view part) {
    constexpr std::string_view space = " \t\r\n";
    part.remove_prefix(std::min(part.find_first_not_of(space), part.size()));
    return std::string(part.substr(0, part.find_last_not_of(space) + 1));
  };
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    parts.push_back(trimmed(std::string_view(text).substr(at, comma - at)));
    at = comma + 1;
  }
  if (parts.size() > 1 && parts.back().empty() && !parts.front().empty()) parts.pop_back();  // "7,"
  return parts;
}

std::string join_list(const std::vector<std::string>& items) {
  return items.size() == 1 ? items.front() + "," : fmt::format("{}", fmt::join(items, ","));
}

std::vector<int> number_list(const std::string& option, const std::string& text) {
  return list_of<int>(option, text, "whole number", parse_number<int>);
}

std::vector<double> real_list(const std::string& option, const std::string& text) {
  return list_of<double>(option, text, "number", [](const std::string& part) {
    const auto value = parse_number<double>(part);
    return value && std::isfinite(*value) ? value : std::nullopt;
  });
}

std::vector<std::string> word_list(const std::string& option, const std::string& text) {
  return list_of<std::string>(option, text, "word", [](const std::string& part) {
    return part.empty() ? std::nullopt : std::optional(part);
  });
}

}  // namespace normlab
