#include "experiments/common/options.hpp"

#include <toml++/toml.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <set>

#include "experiments/common/backends.hpp"
#include "host/limits.hpp"

namespace normlab {

namespace {

template <typename Number>
std::optional<Number> number(const std::string& text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// A TOML value as the command line would spell it; null when it is not of the kind that the option takes.
std::optional<std::string> spelled(const toml::node& node, const CLI::Option& option) {
  const bool is_flag = option.get_items_expected_max() == 0;
  const std::string type = option.get_type_name();
  if (const auto* value = node.as_boolean()) {
    return is_flag ? std::optional(value->get() ? "true" : "false") : std::nullopt;
  }
  if (is_flag) return std::nullopt;
  if (const auto* value = node.as_integer()) return std::to_string(value->get());
  if (const auto* value = node.as_floating_point()) {
    return type.starts_with("INT") ? std::nullopt : std::optional(fmt::format("{}", value->get()));
  }
  const bool is_number = type.starts_with("INT") || type.starts_with("FLOAT");
  if (const auto* value = node.as_string()) return is_number ? std::nullopt : std::optional(value->get());
  if (const auto* list = node.as_array(); list != nullptr && !is_number) {
    std::string joined;
    for (const toml::node& item : *list) {
      const std::optional<std::string> part = item.is_array() ? std::nullopt : spelled(item, option);
      if (!part) return std::nullopt;
      joined += (joined.empty() ? "" : ",") + *part;
    }
    return joined;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

std::string command_of(CLI::App& app) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%";
  std::string line = app.get_name();
  const auto word = [&](const std::string& text) {
    line += ' ';
    if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) {
      line += text;
      return;
    }
    line += '\'';
    for (const char c : text) line += c == '\'' ? "'\\''" : std::string(1, c);
    line += '\'';
  };
  std::vector<const CLI::App*> groups{&app};
  for (const CLI::App* group : app.get_subcommands([](CLI::App*) { return true; })) groups.push_back(group);
  for (const CLI::App* group : groups)
    for (const CLI::Option* option : group->get_options()) {
      if (option->count() == 0) continue;
      word(option->get_name());
      if (option->get_items_expected_max() == 0) continue;  // a flag
      for (const std::string& value : option->results()) word(value);
    }
  return line;
}

std::vector<int> number_list(const std::string& option, const std::string& text) {
  std::vector<int> list;
  for (const std::string& part : split_list(text)) {
    const auto value = number<int>(part);
    if (!value) throw UsageError("{}: '{}' is no whole number; separate several by commas", option, part);
    if (std::find(list.begin(), list.end(), *value) != list.end())
      throw UsageError("{}: {} stands there twice", option, part);
    list.push_back(*value);
  }
  return list;
}

std::vector<Norm> StudyOptions::norm_list() const {
  std::vector<Norm> list;
  for (const std::string& name : split_list(norms)) {
    const Norm norm = Norm::parse(name);
    for (const Norm& other : list) {
      if (other.str() == norm.str()) throw UsageError("--norms: '{}' stands there twice", name);
    }
    list.push_back(norm);
  }
  return list;
}

std::vector<std::uint64_t> StudyOptions::seed_list() const {
  std::vector<std::uint64_t> list;
  for (const std::string& part : split_list(seeds)) {
    const auto seed = number<std::uint32_t>(part);
    if (!seed) throw UsageError("--seeds: '{}' is no seed; say how many (3) or which (4,7)", part);
    if (std::find(list.begin(), list.end(), *seed) != list.end())
      throw UsageError("--seeds: {} stands there twice", part);
    list.push_back(*seed);
  }
  if (list.size() > 1) return list;
  const std::uint64_t count = list.front();
  if (count < 1 || count > 1000)
    throw UsageError("--seeds: {} seeds are too few or too many; say 1 to 1000", count);
  list.clear();
  for (std::uint64_t seed = 0; seed < count; ++seed) list.push_back(seed);
  return list;
}

double StudyOptions::lr_for(const Norm& norm) const {
  std::optional<double> general, own;
  for (const std::string& part : split_list(lr)) {
    const std::size_t equals = part.find('=');
    const auto value = number<double>(equals == std::string::npos ? part : part.substr(equals + 1));
    if (!value || !(*value > 0) || !std::isfinite(*value)) {
      throw UsageError("--lr: '{}' is no positive learning rate; write 0.1 or 0.1,none=0.02", part);
    }
    if (equals == std::string::npos) {
      general = value;
    } else if (const std::string name = part.substr(0, equals); name == "gn") {
      if (norm.kind == Norm::Kind::gn && !own) own = value;
    } else if (Norm::parse(name).str() == norm.str()) {
      own = value;
    }
  }
  if (own) return *own;
  if (general) return *general;
  throw UsageError("--lr {}: says nothing about {}; add a general value such as 0.1,", lr, norm.str());
}

std::optional<int> StudyOptions::fixed_jobs() const {
  if (jobs == "auto") return std::nullopt;
  const auto count = number<int>(jobs);
  if (!count || *count < 1) {
    throw UsageError("--jobs: '{}' must be auto, or how many runs may go on side by side, at least 1", jobs);
  }
  return count;
}

std::vector<int> StudyOptions::diagnose_step_list() const {
  if (diagnose_steps.empty()) return {};
  return number_list("--diagnose-steps", diagnose_steps);
}

int StudyOptions::total_threads() const {
  return threads > 0 ? threads : available_threads();
}

void StudyOptions::check() const {
  const auto require = [](bool fine, const char* option, const char* remedy) {
    if (!fine) throw UsageError("{}: {}", option, remedy);
  };
  for (const Norm& norm : norm_list()) static_cast<void>(lr_for(norm));
  static_cast<void>(seed_list());
  const std::unique_ptr<Backend> backend = make_backend(device, 1);
  if (const std::string missing = backend->why_not(parse_precision(precision)); !missing.empty()) {
    throw Error("--precision {}: {}; use --precision fp32", precision, missing);
  }
  static_cast<void>(parse_optimizer(optimizer));
  static_cast<void>(parse_schedule(schedule));
  static_cast<void>(parse_initialization(init));
  require(epochs >= 1, "--epochs", "must be at least 1");
  require(batch_size >= 1, "--batch-size", "must be at least 1");
  require(width > 0 && width <= 64, "--width", "must be above 0 and at most 64");
  require(momentum >= 0 && momentum < 1, "--momentum", "must be in [0, 1)");
  require(weight_decay >= 0 && std::isfinite(weight_decay), "--weight-decay",
          "must be finite and not negative");
  require(label_smoothing >= 0 && label_smoothing < 1, "--label-smoothing", "must be in [0, 1)");
  require(clip >= 0 && std::isfinite(clip), "--clip", "must be finite and not negative (0: no clipping)");
  require(val >= 0, "--val", "must not be negative");
  require(diagnose >= 0, "--diagnose", "must not be negative (0: not at the end of any epoch)");
  for (const int step : diagnose_step_list()) {
    require(step >= 1, "--diagnose-steps", "steps count from 1, such as 1,10,100");
  }
  require(limit_train >= 0, "--limit-train", "must not be negative (0: all images)");
  require(limit_test >= 0, "--limit-test", "must not be negative (0: all images)");
  require(threads >= 0 && threads <= 1024, "--threads", "must be 1 to 1024, or 0 for all processors");
  static_cast<void>(fixed_jobs());
  if (out.empty() == false && out.find_first_not_of('/') == std::string::npos) {
    throw UsageError("--out '{}': name a new directory", out);
  }
  // Channels, groups and the network's name: setting it up on paper finds what does not fit.
  for (const Norm& norm : norm_list()) {
    Graph graph(*backend, {1, 3, 32, 32});
    build_network(graph, {net, norm, width});
    std::vector<Shape> shapes{graph.sample()};
    for (const Node& node : graph.nodes()) {
      std::vector<Shape> x;
      for (const int value : node.inputs) x.push_back(shapes[static_cast<std::size_t>(value)]);
      try {
        shapes.push_back(node.layer->infer(x));
      } catch (const Error& error) {
        throw UsageError("--norms {}: {}", norm.str(), error.what());
      }
    }
  }
}

void add_study_options(CLI::App& app, StudyOptions& o) {
  o.experiment = app.get_name();
  app.parse_complete_callback([&app, &o] { o.command = command_of(app); });
  app.option_defaults()->always_capture_default();
  const auto group = [&](const char* name) { return app.add_option_group(name); };

  CLI::App* what = group("What is compared");
  what->add_option("--norms", o.norms,
                   "Normalizations, separated by commas: none, bn (batch), ln (layer),\n"
                   "ln-elementwise (layer, gamma and beta per element), gn:G (group, G groups),\n"
                   "in (instance), rms");
  what->add_option("--seeds", o.seeds, "How many seeds (3: seeds 0, 1, 2), or which (4,7)");
  what->add_option(
      "--net", o.net,
      "Network: net_a (46,010 parameters with bn), plain:D (D blocks, 32 channels), or resnet:D\n"
      "(residual, D = 20 with 272,474 parameters, 56, or any 6 n + 2)");
  what->add_option("--width", o.width, "Multiplies the network's channels");

  CLI::App* data = group("Data");
  data->add_option("--data", o.data,
                   "synthetic (drawn on the spot), a directory with CIFAR-10's binary files, or\n"
                   "cifar-10-binary.tar.gz itself (`dataset fetch cifar10 DIR` gets it)");
  data->add_option("--limit-train", o.limit_train, "Use fewer training images (0: all)");
  data->add_option("--limit-test", o.limit_test, "Use fewer test images (0: all)");
  data->add_option("--val", o.val,
                   "Hold out this many training images, chosen by the seed, and report on them:\n"
                   "choose settings there, never on the test set");
  data->add_flag("--augment", o.augment, "Random crops (pad 4) and horizontal flips");

  CLI::App* how = group("Training");
  how->add_option("--epochs", o.epochs, "Passes over the training images");
  how->add_option("--batch-size", o.batch_size, "Images in a step");
  how->add_option("--optimizer", o.optimizer, "sgd or adamw");
  how->add_option("--lr", o.lr,
                  "Peak learning rate; by norm where they must differ: 0.1,none=0.02,gn=0.05,gn:8=0.02\n"
                  "(the default was found on held-out training images, see README.md)");
  how->add_option("--schedule", o.schedule,
                  "constant; step (/10 at 1/2 and 3/4); cosine; onecycle (PyTorch's OneCycleLR,\n"
                  "which also cycles the momentum 0.95 - 0.85 - 0.95)");
  how->add_option("--momentum", o.momentum, "SGD's momentum, AdamW's beta1 (onecycle sets its own)");
  how->add_flag("--nesterov", o.nesterov, "Nesterov's momentum");
  how->add_option("--weight-decay", o.weight_decay, "On all parameters");
  how->add_option("--label-smoothing", o.label_smoothing, "Mass spread over all classes");
  how->add_option("--clip", o.clip, "Largest norm of the whole gradient (0: no clipping)");
  how->add_option("--init", o.init, "he, lecun, xavier, torch (PyTorch's default) or orthogonal");

  CLI::App* inside = group("What is looked at inside the network");
  inside->add_option("--diagnose", o.diagnose,
                     "Epochs from one diagnosis to the next (0: none): gradients, weights, updates and\n"
                     "activations of each layer; training itself stays the same, to the bit");
  inside->add_option("--diagnose-steps", o.diagnose_steps, "Diagnose after these steps, too: 1,10,100");

  CLI::App* run = group("Where and how fast");
  run->add_option("--device", o.device, "auto, cpu or cuda");
  run->add_option("--precision", o.precision,
                  "fp32, or bf16: activations and their gradients take 2 bytes (sums, statistics,\n"
                  "parameters and the optimizer stay fp32); needs a CPU with AVX512-BF16 or AMX");
  run->add_option("--threads", o.threads, "Processors to use (0: all); results do not depend on it");
  run->add_option("--jobs", o.jobs,
                  "Runs side by side: a number, or auto for one on each processor while memory lasts.\n"
                  "Processors that find no run of their own help the others; results do not depend on it");
  run->add_option("--out", o.out, "New directory for the results (default: runs/<experiment>-<time>)");
}

void apply_config_file(CLI::App& app, const std::string& path) {
  toml::table table;
  try {
    table = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    if (at.line == 0) throw UsageError("--config {}: cannot be read ({})", path, error.description());
    throw UsageError("--config {}:{}:{}: {}", path, at.line, at.column, error.description());
  }
  std::set<std::string> known;
  for (const CLI::App* group : app.get_subcommands([](CLI::App*) { return true; })) {
    for (const CLI::Option* option : group->get_options()) known.insert(option->get_name().substr(2));
  }
  for (auto&& [key, node] : table) {
    const std::string name(key.str());
    const toml::source_position at = node.source().begin;
    CLI::Option* option = known.contains(name) ? app.get_option("--" + name) : nullptr;
    if (option == nullptr) {
      throw UsageError("--config {}:{}:{}: unknown key '{}'; keys are: {}", path, at.line, at.column, name,
                       fmt::join(known, ", "));
    }
    if (option->count() > 0) continue;  // the command line wins
    const std::optional<std::string> value = spelled(node, *option);
    try {
      if (!value) throw CLI::ConversionError("");
      option->add_result(*value);
      option->run_callback();
    } catch (const CLI::Error&) {
      const bool is_flag = option->get_items_expected_max() == 0;
      const std::string type = option->get_type_name();
      throw UsageError("--config {}:{}:{}: '{}' wants {}", path, at.line, at.column, name,
                       is_flag                     ? "true or false"
                       : type.starts_with("INT")   ? "a whole number"
                       : type.starts_with("FLOAT") ? "a number"
                                                   : "a text");
    }
  }
}

int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  std::string config;
  app.add_option("--config", config, "TOML file with options of the same names; the command line wins");
  try {
    app.parse(argc, argv);
    if (!config.empty()) apply_config_file(app, config);
    return body();
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? 0 : 2;
  } catch (const UsageError& error) {
    fmt::print(stderr, "{}: {}\nTry '{} --help'.\n", app.get_name(), error.what(), app.get_name());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return 1;
  }
}

}  // namespace normlab
