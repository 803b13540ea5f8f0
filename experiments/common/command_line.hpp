#pragma once
// The command line, and files that say the same, for every program that takes options.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "host/record/run_config.hpp"

namespace normlab {

/// Applies a TOML file to the options that the command line did not set. `origin` is named in errors, as the
/// option that the file came from. Throws UsageError with file, line and column for an unknown key or a value
/// of the wrong type.
void apply_config_file(CLI::App& app, const std::filesystem::path& path,
                       const std::string& origin = "--config");

/// Sets an option as if it had been typed so.
void set_option(CLI::App& app, const std::string& name, const std::string& value);

/// Says that an option takes a list (options.hpp: split_list): its TOML value may be an array.
CLI::Option* as_list(CLI::Option* option);

/// Option names and values: {"--epochs", "20"}.
using OptionValues = std::vector<std::pair<std::string, std::string>>;

/// Other defaults for a while: options that nobody has set get these values, and their own ones back when
/// this goes out of scope, unless it is kept.
class OtherDefaults {
 public:
  OtherDefaults(CLI::App& app, const OptionValues& values);
  ~OtherDefaults();
  OtherDefaults(const OtherDefaults&) = delete;
  OtherDefaults& operator=(const OtherDefaults&) = delete;

  /// From now on the options count as set.
  void keep() { before_.clear(); }
  /// As the command line would spell them: --seeds 5 --epochs 20.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  CLI::App& app_;
  OptionValues before_;
  std::string text_;
};

/// The options that were typed, as a command line for the shell.
[[nodiscard]] std::string command_of(CLI::App& app);

/// Every option as it stands, whoever set it, but those named `without`: a file that apply_config_file takes.
[[nodiscard]] RunConfig values_of(CLI::App& app, const std::vector<std::string>& without);

/// What --version prints.
[[nodiscard]] std::string version_text(const std::string& program);

/// Parses the arguments of main; the value of an option that takes a list may have spaces around its commas.
/// Throws CLI::ParseError.
void parse(CLI::App& app, int argc, char** argv);

/// What a program answers to arguments that CLI11 does not take: one clear error, status 2; --help and
/// --version: status 0.
int refusal(const CLI::App& app, const CLI::ParseError& error);

/// Parses the command line and runs; turns exceptions into one line on stderr and an exit status: 0 done,
/// 1 failed, 2 wrong usage, interrupt_status() when interrupted.
int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

}  // namespace normlab
