#pragma once
// config.toml: the resolved configuration of a run, a flat list of keys and values in a fixed order.

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace normlab {

using ConfigValue = std::variant<bool, std::int64_t, double, std::string>;

/// As a person would write it: true, 128, 0.05, synthetic. Doubles take the fewest digits that read back
/// equal.
[[nodiscard]] std::string text_of(const ConfigValue& value);

struct ConfigEntry {
  std::string key;
  ConfigValue value;

  bool operator==(const ConfigEntry&) const = default;
};

class RunConfig {
 public:
  /// Appends the key, or changes its value where it stands.
  void set(std::string_view key, ConfigValue value);
  template <std::convertible_to<std::string_view> Text>
  void set(std::string_view key, const Text& value) {
    set(key, ConfigValue(std::string(std::string_view(value))));
  }
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) void set(std::string_view key, Integer value) {
    set(key, ConfigValue(static_cast<std::int64_t>(value)));
  }

  [[nodiscard]] const std::vector<ConfigEntry>& entries() const { return entries_; }
  /// nullptr if the key is not there.
  [[nodiscard]] const ConfigValue* find(std::string_view key) const;
  /// The value as text, "" if the key is not there.
  [[nodiscard]] std::string text(std::string_view key) const;
  /// The value as a number; none if the key is not there or is no number.
  [[nodiscard]] std::optional<double> number(std::string_view key) const;

  /// One line a key, in order; reads back equal.
  [[nodiscard]] std::string to_toml() const;
  /// Throws Error with line and column for anything but plain values; `name` stands for the file.
  [[nodiscard]] static RunConfig parse(std::string_view toml, std::string_view name);
  [[nodiscard]] static RunConfig read(const std::filesystem::path& path);

  bool operator==(const RunConfig&) const = default;

 private:
  std::vector<ConfigEntry> entries_;
};

/// Adds to a run's configuration what it lacks because the setting is younger than the file, with the value
/// that was the only one then.
void add_younger_settings(RunConfig& config);

}  // namespace normlab
