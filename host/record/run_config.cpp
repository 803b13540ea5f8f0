#include "host/record/run_config.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "host/record/file.hpp"
#include "host/record/toml_text.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

constexpr std::uint64_t config_limit = 1 << 20;

bool is_bare(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

/// A TOML basic string.
std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      result += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      result += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      result += c;
  }
  return result + '"';
}

/// Keeps a whole double from reading back as an integer.
std::string double_text(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string toml_text(const ConfigValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return in_quotes(*text);
  if (const auto* number = std::get_if<double>(&value)) return double_text(*number);
  return text_of(value);
}

}  // namespace

std::string text_of(const ConfigValue& value) {
  return std::visit([](const auto& held) { return fmt::format("{}", held); }, value);
}

void RunConfig::set(std::string_view key, ConfigValue value) {
  if (auto* text = std::get_if<std::string>(&value)) *text = as_utf8(*text);
  for (ConfigEntry& entry : entries_)
    if (entry.key == key) {
      entry.value = std::move(value);
      return;
    }
  entries_.push_back({std::string(key), std::move(value)});
}

const ConfigValue* RunConfig::find(std::string_view key) const {
  for (const ConfigEntry& entry : entries_)
    if (entry.key == key) return &entry.value;
  return nullptr;
}

std::string RunConfig::text(std::string_view key) const {
  const ConfigValue* value = find(key);
  return value == nullptr ? std::string() : text_of(*value);
}

std::optional<double> RunConfig::number(std::string_view key) const {
  const ConfigValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* integer = std::get_if<std::int64_t>(value)) return static_cast<double>(*integer);
  if (const auto* number = std::get_if<double>(value)) return *number;
  return std::nullopt;
}

std::string RunConfig::to_toml() const {
  std::string text;
  for (const ConfigEntry& entry : entries_)
    text += fmt::format("{} = {}\n", is_bare(entry.key) ? entry.key : in_quotes(entry.key),
                        toml_text(entry.value));
  return text;
}

RunConfig RunConfig::parse(std::string_view toml, std::string_view name) {
  toml::table table;
  try {
    table = parse_toml(toml);
  } catch (const TomlError& error) {
    throw Error("'{}', line {}, column {}: {}", name, error.line, error.column, error.what());
  }
  // toml++ sorts by key; the order of the file is that of the positions.
  std::vector<std::tuple<toml::source_position, ConfigEntry>> found;
  for (const auto& [key, node] : table) {
    ConfigEntry entry{toml_string(key.str()), {}};
    if (const auto* boolean = node.as_boolean())
      entry.value = boolean->get();
    else if (const auto* integer = node.as_integer())
      entry.value = integer->get();
    else if (const auto* number = node.as_floating_point())
      entry.value = number->get();
    else if (const auto* text = node.as_string())
      entry.value = toml_string(text->get());
    else
      throw Error(
          "'{}', line {}, column {}: '{}' is no plain value; the configuration of a run is a flat list", name,
          node.source().begin.line, node.source().begin.column, entry.key);
    found.emplace_back(node.source().begin, std::move(entry));
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return std::get<0>(a) < std::get<0>(b); });
  RunConfig config;
  for (auto& [position, entry] : found) config.entries_.push_back(std::move(entry));
  return config;
}

RunConfig RunConfig::read(const std::filesystem::path& path) {
  return parse(read_text_file(path, config_limit), path.string());
}

void add_younger_settings(RunConfig& config) {
  const bool is_of_a_training = config.find("precision") != nullptr;
  if (!is_of_a_training) return;
  const std::pair<const char*, const char*> settings[]{
      {"conv", "auto"}, {"pixel_mean", "0.4914,0.4822,0.4465"}, {"pixel_std", "0.247,0.2435,0.2616"}};
  for (const auto& [key, value] : settings)
    if (config.find(key) == nullptr) config.set(key, value);
}

}  // namespace normlab
