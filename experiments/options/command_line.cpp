#include "experiments/options/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include "experiments/options/lists.hpp"
#include "experiments/options/revision.hpp"
#include "host/record/file.hpp"
#include "host/record/toml_text.hpp"
#include "host/system/output.hpp"
#include "host/system/program.hpp"
#include "host/system/shell_word.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

/// Bytes of a file with options, at most.
constexpr std::uint64_t kConfigLimit = 1 << 20;
constexpr std::string_view kHelp = "--help";

/// What --help shows for the values of an option that takes several.
constexpr const char* kList = "LIST";

bool is_flag(const CLI::Option& option) {
  return option.get_items_expected_max() == 0;
}

/// The options that people set: those in groups.
std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  std::vector<const CLI::Option*> all;
  for (const CLI::App* group : app.get_subcommands([](const CLI::App*) { return true; })) {
    for (const CLI::Option* option : group->get_options())
      if (option->get_name() != kHelp) all.push_back(option);
  }
  return all;
}

/// The value as text, whoever set it.
std::string value_of(const CLI::Option& option) {
  if (option.count() > 0) return option.results().back();
  return is_flag(option) ? "false" : option.get_default_str();
}

void set_value(CLI::Option& option, const std::string& value) {
  option.clear();
  option.add_result(value);
  option.run_callback();
}

/// A TOML value as the command line would spell it; null when it is not of the kind that the option takes.
std::optional<std::string> spelled(const toml::node& node, const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (const auto* value = node.as_boolean()) {
    return is_flag(option) ? std::optional(value->get() ? "true" : "false") : std::nullopt;
  }
  if (is_flag(option)) return std::nullopt;
  if (const auto* value = node.as_integer()) return std::to_string(value->get());
  if (const auto* value = node.as_floating_point()) {
    if (type.starts_with("INT")) return std::nullopt;
    // A whole one keeps its point: where whole numbers are wanted (--seeds, lists) it is as wrong as 3.5.
    const std::string text = fmt::format("{}", value->get());
    return text.find_first_not_of("-0123456789") == text.npos ? text + ".0" : text;
  }
  const bool is_number = type.starts_with("INT") || type.starts_with("FLOAT");
  if (const auto* value = node.as_string())
    return is_number ? std::nullopt : std::optional(toml_string(value->get()));
  if (const auto* list = node.as_array(); list != nullptr && type == kList) {
    std::vector<std::string> items;
    for (const toml::node& item : *list) {
      const std::optional<std::string> part = item.is_array() ? std::nullopt : spelled(item, option);
      if (!part) return std::nullopt;
      items.push_back(*part);
    }
    return join_list(items);
  }
  return std::nullopt;
}

/// The options that were typed, as a command line for the shell.
std::string command_of(const CLI::App& app) {
  std::string line = app.get_name();
  const auto word = [&](const std::string& text) {
    line += ' ';
    line += shell_word(text);
  };
  std::vector<const CLI::Option*> options = app.get_options();
  for (const CLI::Option* option : options_of(app)) options.push_back(option);
  for (const CLI::Option* option : options) {
    if (option->count() == 0) continue;
    word(option->get_name());
    if (is_flag(*option)) continue;
    for (const std::string& value : option->results()) word(value);
  }
  return line;
}

/// The names of all options that take lists, those of commands, too.
void add_lists(const CLI::App& app, std::set<std::string>& names) {
  for (const CLI::Option* option : app.get_options())
    if (option->get_type_name() == kList) names.insert(option->get_name());
  for (const CLI::App* part : app.get_subcommands([](const CLI::App*) { return true; }))
    add_lists(*part, names);
}

}  // namespace

const Option& Option::required() const {
  option_->required();
  return *this;
}

const Option& Option::list() const {
  option_->type_name(kList);
  return *this;
}

const Option& Option::within(int least, int most) const {
  option_->check(CLI::Range(least, most));
  return *this;
}

const Option& Option::within(double least, double most) const {
  option_->check(CLI::Range(least, most));
  return *this;
}

const Option& Option::one_of(const std::vector<std::string>& words) const {
  option_->check(CLI::IsMember(words));
  return *this;
}

Option OptionGroup::add(const std::string& name, Target target, const std::string& help) const {
  return std::visit(
      [&](auto* value) {
        CLI::Option* option = app_->add_option(name, *value, help);
        // What --help shows as the default; a path would stand there in quotes.
        if constexpr (std::is_arithmetic_v<std::remove_pointer_t<decltype(value)>> ||
                      std::is_same_v<decltype(value), std::string*>)
          option->capture_default_str();
        return Option(*option);
      },
      target);
}

Option OptionGroup::add_text(const std::string& name, const std::string& value,
                             std::function<void(const std::string&)> set, const std::string& help) const {
  return Option(*app_->add_option_function<std::string>(name, std::move(set), help)->default_str(value));
}

void OptionGroup::flag(const std::string& name, bool* target, const std::string& help) const {
  app_->add_flag(name, *target, help);
}

void OptionGroup::footer(const std::string& text) const {
  app_->footer(text);
}

CommandLine::CommandLine(const std::string& program, const std::string& description)
    : CommandLine(program, std::make_unique<CLI::App>(description, program)) {}

CommandLine::CommandLine(std::string program, std::unique_ptr<CLI::App> app)
    : OptionGroup(*app), program_(std::move(program)), owned_(std::move(app)) {}

CommandLine::~CommandLine() = default;

OptionGroup CommandLine::group(const std::string& title) {
  for (CLI::App* group : app_->get_subcommands([](CLI::App*) { return true; }))
    if (group->get_name().empty() && group->get_group() == title) return OptionGroup(*group);
  return OptionGroup(*app_->add_option_group(title));
}

OptionGroup CommandLine::command(const std::string& name, const std::string& help,
                                 std::function<int()> body) {
  CLI::App* command = app_->add_subcommand(name, help);
  command->set_version_flag("--version", version_text(program_), "Print version, revision and build");
  commands_.emplace_back(command, std::move(body));
  return OptionGroup(*command);
}

void CommandLine::remove(const std::string& name) {
  for (CLI::App* group : app_->get_subcommands([](CLI::App*) { return true; })) {
    if (CLI::Option* option = group->get_option_no_throw(name)) group->remove_option(option);
  }
}

bool CommandLine::is_set(const std::string& option) const {
  return app_->get_option(option)->count() > 0;
}

void CommandLine::set(const std::string& option, const std::string& value) {
  set_value(*app_->get_option(option), value);
}

RunConfig CommandLine::values(const std::vector<std::string>& without) const {
  RunConfig values;
  for (const CLI::Option* option : options_of(*app_)) {
    const std::string name = option->get_name().substr(2);
    if (std::find(without.begin(), without.end(), name) != without.end()) continue;
    const std::string value = value_of(*option);
    const std::string type = option->get_type_name();
    if (is_flag(*option)) {
      values.set(name, ConfigValue(value == "true"));
    } else if (type.starts_with("INT")) {
      values.set(name, std::stoll(value));
    } else if (type.starts_with("FLOAT")) {
      values.set(name, ConfigValue(std::stod(value)));
    } else {
      values.set(name, value);
    }
  }
  return values;
}

OtherDefaults::OtherDefaults(CommandLine& line, const OptionValues& values) : app_(*line.app_) {
  for (const auto& [name, value] : values) {
    CLI::Option& option = *app_.get_option(name);
    if (option.count() > 0 || value_of(option) == value) continue;
    before_.emplace_back(name, value_of(option));
    set_value(option, value);
    text_ += fmt::format("{}{} {}", text_.empty() ? "" : " ", name, value);
  }
}

OtherDefaults::~OtherDefaults() {
  for (const auto& [name, value] : before_) {
    CLI::Option& option = *app_.get_option(name);
    set_value(option, value);
    option.clear();
  }
}

void CommandLine::apply_file(const std::filesystem::path& file, const std::string& origin) {
  const std::string path = file.string();
  std::string text;
  try {
    text = read_text_file(file, kConfigLimit);
  } catch (const Error& error) {
    throw UsageError("{} {}", origin, error.what());
  }
  toml::table table;
  try {
    table = parse_toml(text);
  } catch (const TomlError& error) {
    throw UsageError("{} {}:{}:{}: {}", origin, path, error.line, error.column, error.what());
  }
  std::set<std::string> known;
  for (const CLI::Option* option : options_of(*app_)) known.insert(option->get_name().substr(2));
  for (auto&& [key, node] : table) {
    const std::string name = toml_string(key.str());
    if (name == kHelp.substr(2)) continue;  // stood in the files of earlier revisions
    const toml::source_position at = node.source().begin;
    CLI::Option* option = known.contains(name) ? app_->get_option("--" + name) : nullptr;
    if (option == nullptr) {
      throw UsageError("{} {}:{}:{}: unknown key '{}'; keys are: {}", origin, path, at.line, at.column, name,
                       fmt::join(known, ", "));
    }
    if (option->count() > 0) continue;  // the command line wins
    const std::optional<std::string> value = spelled(node, *option);
    try {
      if (!value) throw CLI::ConversionError("");
      set_value(*option, *value);
    } catch (const CLI::Error&) {
      const std::string type = option->get_type_name();
      throw UsageError("{} {}:{}:{}: '{}' wants {}", origin, path, at.line, at.column, name,
                       is_flag(*option)            ? "true or false"
                       : type.starts_with("INT")   ? "a whole number"
                       : type.starts_with("FLOAT") ? "a number"
                       : type == kList             ? "a list: [1, 2] or '1,2'"
                                                   : "a text");
    } catch (const UsageError& error) {
      throw UsageError("{} {}:{}:{}: {}", origin, path, at.line, at.column, error.what());
    }
  }
}

int CommandLine::refuse(const CLI::ParseError& error) const {
  const CLI::App& app = *app_;
  if (error.get_exit_code() == 0) {  // --help, --version
    std::ostringstream text;
    static_cast<void>(app.exit(error, text, text));
    say_text(text.str());
    return 0;
  }
  const CLI::App* of = &app;
  for (const CLI::App* command : app.get_subcommands())
    if (!command->get_name().empty()) of = command;
  const std::vector<std::string> rest = app.remaining(true);
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_name().empty()) commands.push_back(command->get_name());
  std::string what = error.what();
  if (of == &app && !commands.empty()) {
    what =
        fmt::format("{}; choose one of {}",
                    rest.empty() ? "a command is missing" : fmt::format("'{}' is no command", rest.front()),
                    fmt::join(commands, ", "));
  } else if (!rest.empty()) {
    what = fmt::format("'{}' is {} here", rest.front(),
                       rest.front().starts_with('-') ? "no option" : "not expected");
  }
  constexpr std::string_view unconverted = "Could not convert: ";
  if (what.starts_with(unconverted)) what = what.substr(unconverted.size()) + ": that is no such number";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && what.ends_with(" missing"))
    what = what.substr(0, what.find(':')) + ": a value is missing";
  else if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    std::set<std::string> lists;
    add_lists(app, lists);
    const std::string option = what.substr(0, what.find(':'));
    what = option + " is given more than once" +
           (lists.contains(option) ? ": once is enough, values are separated by commas" : "; once is enough");
  }
  const std::string program = of == &app ? app.get_name() : app.get_name() + " " + of->get_name();
  say_error("{}: {}\nTry '{} --help'.\n", app.get_name(), what, program);
  return 2;
}

void CommandLine::parse(int argc, char** argv) {
  std::set<std::string> lists;
  add_lists(*app_, lists);
  std::vector<std::string> arguments;
  bool is_of_list = false, has_begun = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with('-')) {
      is_of_list = lists.contains(argument.substr(0, argument.find('=')));
      has_begun = argument.find('=') != std::string::npos;
    } else if (is_of_list && has_begun && (arguments.back().ends_with(',') || argument.starts_with(','))) {
      arguments.back() += argument;  // a list with spaces around its commas
      continue;
    } else {
      has_begun = is_of_list;
    }
    // CLI11 would take a path in brackets for a list of paths.
    const bool is_bracketed = argument.starts_with('[') && argument.ends_with(']');
    arguments.push_back(is_bracketed && !commands_.empty() ? "./" + argument : argument);
  }
  const bool asks_for_help = std::ranges::find(arguments, kHelp) != arguments.end();
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app_->parse(std::move(arguments));
  } catch (const UsageError&) {  // a value that means nothing: help says what does
    if (asks_for_help) throw CLI::CallForHelp();
    throw;
  }
  typed_ = command_of(*app_);
}

int CommandLine::run(int argc, char** argv, const std::function<int()>& body) {
  std::string config;
  if (commands_.empty()) {
    add("--config", &config, "TOML file with options of the same names; the command line wins");
  } else {
    app_->require_subcommand(1);
  }
  app_->set_version_flag("--version", version_text(program_), "Print version, revision and build");
  return run_guarded(program_, [&] {
    try {
      parse(argc, argv);
      if (!config.empty()) apply_file(config);
      for (const auto& [command, its_body] : commands_)
        if (command->parsed()) return its_body();
      return body();
    } catch (const CLI::ParseError& error) {
      return refuse(error);
    } catch (const UsageError& error) {
      if (!commands_.empty()) throw;  // the help of commands is short, and says nothing of what is in paths
      say_error("{}: {}\nTry '{} --help'.\n", program_, error.what(), program_);
      return 2;
    }
  });
}

std::string version_text(const std::string& program) {
  return fmt::format("{} (Normlab) {}\nrevision {}, {}\n{}", program, NORMLAB_VERSION, revision(),
                     build_description(), kernels_description());
}

}  // namespace normlab
