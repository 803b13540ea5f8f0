#include "experiments/training/run_spec.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "experiments/options/backends.hpp"
#include "experiments/training/device_images.hpp"
#include "host/record/run_name.hpp"
#include "host/record/summary.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

/// What can be swept: its key in config.toml, and its value there.
struct Sweepable {
  std::string_view key;
  std::string (*value)(const RunSpec&);
};

const std::array kSweepable{
    Sweepable{"batch_size", [](const RunSpec& s) { return fmt::format("{}", s.batch_size); }},
    Sweepable{"micro_batch", [](const RunSpec& s) { return fmt::format("{}", s.micro_batch); }},
    Sweepable{"depth", [](const RunSpec& s) { return fmt::format("{}", s.net.depth().value_or(0)); }},
    Sweepable{"width", [](const RunSpec& s) { return fmt::format("{}", s.width); }},
    Sweepable{"lr", [](const RunSpec& s) { return fmt::format("{}", s.lr); }},
    Sweepable{"init", [](const RunSpec& s) { return s.init.text(); }},
    Sweepable{"clip", [](const RunSpec& s) { return fmt::format("{}", s.clip); }},
};

void check_values(const RunSpec& spec) {
  // A list of values to sweep has the name of the single one in the plural.
  const auto require = [&](bool fine, std::string_view key, const char* remedy) {
    if (fine) return;
    std::string option = fmt::format("--{}{}", key, std::ranges::count(spec.swept, key) > 0 ? "s" : "");
    std::ranges::replace(option, '_', '-');
    throw UsageError("{}: {}", option, remedy);
  };
  require(spec.epochs >= 1 && spec.epochs <= 100'000, "epochs", "must be at least 1 and at most 100000");
  require(spec.batch_size >= 1 && spec.batch_size <= 1 << 20, "batch_size",
          "must be at least 1 and at most 1048576");
  require(spec.micro_batch >= 0, "micro_batch", "must not be negative (0: whole batches)");
  require(spec.micro_batch <= spec.batch_size, "micro_batch",
          "must not be larger than the batch that it is a part of");
  require(spec.width > 0 && spec.width <= 64, "width", "must be above 0 and at most 64");
  require(spec.clip >= 0 && std::isfinite(spec.clip), "clip",
          "must be finite and not negative (0: no clipping)");
  require(spec.lr > 0 && std::isfinite(spec.lr), "lr", "must be positive and finite");
}

/// Channels, groups and the network's name: setting it up on paper finds what does not fit.
void check_network(Backend& backend, const RunSpec& spec) {
  Graph graph(backend, {1, 3, 32, 32});
  build_network(graph, {spec.net, spec.norm, spec.width});
  std::vector<Shape> shapes{graph.sample()};
  for (const Node& node : graph.nodes()) {
    std::vector<Shape> x;
    for (const int value : node.inputs) x.push_back(shapes[as_size(value)]);
    try {
      shapes.push_back(node.layer->infer(x));
    } catch (const Error& error) {
      throw UsageError("{} in {}: {}", spec.norm.str(), spec.net.str(), error.what());
    }
  }
}

}  // namespace

std::string RunSpec::name() const {
  return run_name(arm(), seed);
}

std::string RunSpec::arm() const {
  return arm_name(norm.str(), swept, [this](std::string_view key) { return value_of(key); });
}

std::string RunSpec::value_of(std::string_view key) const {
  for (const Sweepable& sweepable : kSweepable) {
    if (sweepable.key == key) return sweepable.value(*this);
  }
  throw Error("no run differs from another in '{}'", key);
}

std::string RunSpec::kind() const {
  return fmt::format("{} {} {} {} {}", norm.str(), net.str(), width, batch_size, micro_batch);
}

RunSpec run_of(const StudyOptions& options, const Norm& norm, std::uint64_t seed) {
  RunSpec spec;
  spec.norm = norm;
  spec.seed = seed;
  spec.lr = options.lr_for(norm);
  spec.lr_choice = options.lr->are_found()                         ? rate_choice::found
                   : options.lr.text() == StudyOptions{}.lr.text() ? rate_choice::built_in
                                                                   : rate_choice::given;
  spec.net = *options.net;
  spec.width = options.width;
  spec.init = options.init;
  spec.clip = options.clip;
  spec.epochs = options.epochs;
  spec.batch_size = options.batch_size;
  spec.micro_batch = options.micro_batch;
  return spec;
}

void check_runs(const StudyOptions& options, std::span<const RunSpec> runs) {
  if (!options.profile_steps->empty() && runs.size() != 1) {
    throw UsageError(
        "--profile-steps: the window is of one run, but there are {}; choose one norm, and --seeds 1",
        runs.size());
  }
  const std::unique_ptr<Backend> backend = make_backend(options.device, 1, options.device_choices());
  std::set<std::string> names, networks;
  for (const RunSpec& spec : runs) {
    check_values(spec);
    if (networks.insert(fmt::format("{} {} {}", spec.norm.str(), spec.net.str(), spec.width)).second) {
      check_network(*backend, spec);
    }
    if (!names.insert(spec.name()).second) throw UsageError("two runs would be called {}", spec.name());
  }
}

RunConfig settings_of(const StudyOptions& options, const RunSpec& spec, const Dataset& data) {
  const auto training = static_cast<std::int64_t>(data.train.count) - options.val;
  RunConfig c;
  c.set("experiment", options.experiment);
  if (!spec.swept.empty()) c.set("swept", fmt::format("{}", fmt::join(spec.swept, ",")));
  c.set("norm", spec.norm.str());
  c.set("seed", spec.seed);
  c.set("net", spec.net.str());
  if (spec.net.depth()) c.set("depth", *spec.net.depth());
  c.set("width", ConfigValue(spec.width));
  c.set("data", data.source);
  c.set("data_digest", data.digest);
  if (!data.note.empty()) c.set("data_note", data.note);
  c.set("classes", fmt::format("{}", fmt::join(data.class_names, ",")));
  c.set("pixel_mean", fmt::format("{}", fmt::join(kImageMean, ",")));
  c.set("pixel_std", fmt::format("{}", fmt::join(kImageStd, ",")));
  c.set("train_images", training);
  c.set("val_images", options.val);
  c.set("test_images", data.test.count);
  c.set("augment", ConfigValue(options.augment));
  c.set("epochs", spec.epochs);
  c.set("batch_size", spec.batch_size);
  c.set("micro_batch", spec.micro_batch);
  c.set("steps", (training + spec.batch_size - 1) / spec.batch_size * spec.epochs);
  c.set("optimizer", options.optimizer.text());
  c.set("lr", ConfigValue(spec.lr));
  if (!spec.lr_test.empty()) c.set("lr_test", spec.lr_test);
  c.set("schedule", options.schedule.text());
  c.set("momentum", ConfigValue(options.momentum));
  c.set("nesterov", ConfigValue(options.nesterov));
  c.set("weight_decay", ConfigValue(options.weight_decay));
  c.set("label_smoothing", ConfigValue(options.label_smoothing));
  c.set("clip", ConfigValue(spec.clip));
  c.set("init", spec.init.text());
  c.set("precision", options.precision.text());
  c.set("conv", options.conv.text());
  if (options.device == "cuda") c.set("bn", options.bn.text());
  c.set("diagnose", options.diagnose);
  c.set("diagnose_steps", options.diagnose_steps.text());
  if (options.diagnose_first > 0) c.set("diagnose_first", options.diagnose_first);
  if (options.diagnose_every > 0) c.set("diagnose_every", options.diagnose_every);
  if (options.landscape_every > 0) c.set("landscape_every", options.landscape_every);
  return c;
}

}  // namespace normlab
