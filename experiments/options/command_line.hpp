#pragma once
// The command line, and files that say the same, for every program that takes options. CLI11 does the work;
// its headers take as long to compile as a whole program, so that command_line.cpp alone includes them.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "experiments/options/parsed.hpp"
#include "host/record/run_config.hpp"

namespace CLI {
class App;
class Option;
class ParseError;
}  // namespace CLI

namespace normlab {

/// What an option sets; its value before is the default.
using Target = std::variant<int*, std::uint64_t*, double*, std::string*, std::filesystem::path*,
                            std::vector<std::filesystem::path>*>;

/// An option that was declared, to say more of it.
class Option {
 public:
  explicit Option(CLI::Option& option) : option_(&option) {}

  const Option& required() const;
  /// It takes a list (lists.hpp: split_list); its TOML value may be an array.
  const Option& list() const;
  const Option& within(int least, int most) const;
  const Option& within(double least, double most) const;
  const Option& one_of(const std::vector<std::string>& words) const;

 private:
  CLI::Option* option_;
};

/// Options that are listed together in --help: those of a command, or a group with a title.
class OptionGroup {
 public:
  explicit OptionGroup(CLI::App& app) : app_(&app) {}

  Option add(const std::string& name, Target target, const std::string& help) const;
  template <auto parse>
  Option add(const std::string& name, Parsed<parse>* target, const std::string& help) const {
    return add_text(
        name, target->text(), [target](const std::string& text) { *target = text; }, help);
  }
  /// An option without a value: there, it sets `target`.
  void flag(const std::string& name, bool* target, const std::string& help) const;
  /// The last words of --help.
  void footer(const std::string& text) const;

 private:
  Option add_text(const std::string& name, const std::string& value,
                  std::function<void(const std::string&)> set, const std::string& help) const;

 protected:
  CLI::App* app_;
};

/// Option names and values: {"--epochs", "20"}.
using OptionValues = std::vector<std::pair<std::string, std::string>>;

/// The command line of one program.
class CommandLine : public OptionGroup {
 public:
  CommandLine(const std::string& program, const std::string& description);
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;
  ~CommandLine();

  [[nodiscard]] const std::string& program() const { return program_; }

  /// The group of that title, a new one where there is none.
  OptionGroup group(const std::string& title);
  /// Declares a command; where it is typed, `body` runs and gives the exit status.
  OptionGroup command(const std::string& name, const std::string& help, std::function<int()> body);
  /// Takes an option away again.
  void remove(const std::string& name);

  /// The body of a main: parses the arguments and runs `body`, or that of the command that was typed. What is
  /// wrong becomes one line on stderr. The exit status: what the body says (0 done), 1 failed, 2 wrong usage,
  /// interrupt_status() when interrupted. A program without commands has --config, too. In options that take
  /// a list, values may have spaces around their commas.
  int run(int argc, char** argv, const std::function<int()>& body = {});

  /// Whether it was typed, or set since.
  [[nodiscard]] bool is_set(const std::string& option) const;
  /// What was typed, as a command line for the shell.
  [[nodiscard]] const std::string& typed() const { return typed_; }
  /// Sets an option as if it had been typed so.
  void set(const std::string& option, const std::string& value);
  /// Applies a TOML file to the options that the command line did not set. `origin` is named in errors, as
  /// the option that the file came from. Throws UsageError with file, line and column for an unknown key or a
  /// value of the wrong type.
  void apply_file(const std::filesystem::path& path, const std::string& origin = "--config");
  /// Every option of a group as it stands, whoever set it, but those named `without`: a file that apply_file
  /// takes.
  [[nodiscard]] RunConfig values(const std::vector<std::string>& without) const;

 private:
  friend class OtherDefaults;

  CommandLine(std::string program, std::unique_ptr<CLI::App> app);
  void parse(int argc, char** argv);
  /// The answer to arguments that CLI11 does not take: one clear error; --help and --version; the exit
  /// status.
  int refuse(const CLI::ParseError& error) const;

  std::string program_;
  std::unique_ptr<CLI::App> owned_;
  std::vector<std::pair<CLI::App*, std::function<int()>>> commands_;
  std::string typed_;
};

/// Other defaults for a while: options that nobody has set get these values, and their own ones back when
/// this goes out of scope, unless it is kept.
class OtherDefaults {
 public:
  OtherDefaults(CommandLine& line, const OptionValues& values);
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

/// What --version prints.
[[nodiscard]] std::string version_text(const std::string& program);

}  // namespace normlab
