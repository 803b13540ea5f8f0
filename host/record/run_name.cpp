#include "host/record/run_name.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace normlab {

namespace {

/// What can be swept, and what stands before its value in names.
struct SweptKey {
  std::string_view key, in_names;
};
constexpr std::array<SweptKey, 8> kSweptKeys{{{"batch_size", "b"},
                                              {"micro_batch", "mb"},
                                              {"depth", "d"},
                                              {"width", "w"},
                                              {"lr", "lr"},
                                              {"init", ""},
                                              {"clip", "clip"},
                                              {"padding", ""}}};

std::string file_name_of(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '+' || c == '_';
    name += plain ? c : '_';
  }
  return name;
}

}  // namespace

std::vector<std::string> swept_keys(const RunConfig& config) {
  std::vector<std::string> keys;
  const std::string text = config.text("swept");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) keys.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return keys;
}

std::string arm_name(std::string_view norm, const std::vector<std::string>& swept,
                     const std::function<std::string(std::string_view key)>& value_of) {
  std::string name(norm);
  std::erase(name, ':');
  for (const SweptKey& swept_key : kSweptKeys) {
    if (std::ranges::find(swept, swept_key.key) == swept.end()) continue;
    name += fmt::format("-{}{}", swept_key.in_names, value_of(swept_key.key));
  }
  return file_name_of(name);
}

std::string arm_name(const RunConfig& config) {
  const std::string norm = config.text("norm");
  if (norm.empty()) return "";
  return arm_name(norm, swept_keys(config), [&](std::string_view key) { return config.text(key); });
}

std::string run_name(std::string_view arm, std::uint64_t seed) {
  return fmt::format("{}-seed{}", arm, seed);
}

}  // namespace normlab
