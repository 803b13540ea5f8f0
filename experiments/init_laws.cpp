// Laws at initialization: no data, no training. In a deep network of convolution, norm and ReLU, how fast
// does the gradient grow going back, and how alike do different samples become going forward? With batch norm
// the growth is sqrt(pi / (pi - 1)) = 1.2112 a layer (Yang et al., "A mean field theory of batch
// normalization", 2019); without any norm all samples end up pointing the same way.

#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <numbers>
#include <optional>
#include <span>
#include <thread>

#include "experiments/common/backends.hpp"
#include "experiments/common/command_line.hpp"
#include "experiments/common/interrupt.hpp"
#include "experiments/common/laws.hpp"
#include "experiments/common/revision.hpp"
#include "experiments/common/trainer.hpp"
#include "host/record/metric_log.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/statistics.hpp"

namespace normlab {

namespace {

/// One network at one seed.
struct LawRun {
  LawNetwork network;
  std::uint64_t seed = 0;
  Laws laws;
};

std::string padding_name(bool circular) {
  return circular ? "circular" : "zero";
}

/// A figure to reproduce: mean and standard error over 5 seeds of an independent float32 program, and a unit
/// of the last digit given.
struct Figure {
  const char* norm;
  double growth, growth_error, cosine, cosine_error, stable_rank, stable_rank_error, zero_padding_growth;
};
constexpr std::array<Figure, 7> kFigures{{
    {"none", 0.995, 0.006, 0.95, 0.013, 1.05, 0.015, 0.956},
    {"bn", 1.210, 0.0007, 0.32, 0.0005, 3.06, 0.004, 1.188},
    {"ln", 1.020, 0.009, 0.92, 0.016, 1.08, 0.019, 1.020},
    {"gn:2", 1.036, 0.007, 0.88, 0.024, 1.14, 0.031, 1.030},
    {"gn:8", 1.102, 0.004, 0.66, 0.028, 1.51, 0.063, 1.075},
    {"gn:32", 1.182, 0.0007, 0.41, 0.009, 2.41, 0.05, 1.157},
    {"in", 1.222, 0.0005, 0.32, 0.0003, 3.02, 0.002, 1.201},
}};

/// A law of one kind of network over the seeds, and what is known about it.
struct Line {
  std::string padding, norm, law;
  Estimate measured;
  std::optional<double> known;
  double known_error = 0, last_digit = 0;

  [[nodiscard]] double standard_error() const {
    return measured.deviation / std::sqrt(static_cast<double>(measured.n));
  }
  /// Within 6 of the known standard errors plus half a unit of the last digit given.
  [[nodiscard]] bool is_reproduced() const {
    return std::abs(measured.mean - *known) <= 6 * known_error + 0.5 * last_digit;
  }
};

std::optional<Figure> figure_of(const std::string& norm) {
  for (const Figure& figure : kFigures) {
    if (figure.norm == norm) return figure;
  }
  return std::nullopt;
}

/// The lines of the table, from runs that lie together by network.
std::vector<Line> lines_of(std::span<const LawRun> runs) {
  std::vector<Line> lines;
  for (std::size_t first = 0; first < runs.size();) {
    const LawNetwork& network = runs[first].network;
    std::vector<double> growth, cosine, stable_rank;
    for (; first < runs.size() && runs[first].network.norm == network.norm &&
           runs[first].network.circular == network.circular;
         ++first) {
      growth.push_back(runs[first].laws.growth);
      cosine.push_back(runs[first].laws.cosine);
      stable_rank.push_back(runs[first].laws.stable_rank);
    }
    const std::string padding = padding_name(network.circular), norm = network.norm.str();
    lines.push_back({padding, norm, "growth", estimate(growth), {}});
    lines.push_back({padding, norm, "cosine", estimate(cosine), {}});
    lines.push_back({padding, norm, "stable rank", estimate(stable_rank), {}});
    const std::optional<Figure> figure = figure_of(norm);
    if (!figure) continue;
    Line *const rank = &lines.back(), *const cosines = rank - 1, *const growths = rank - 2;
    growths->known = network.circular ? figure->growth : figure->zero_padding_growth;
    growths->known_error = figure->growth_error;
    growths->last_digit = 0.001;
    if (!network.circular) continue;  // nothing is known there but the growth
    cosines->known = figure->cosine;
    cosines->known_error = figure->cosine_error;
    rank->known = figure->stable_rank;
    rank->known_error = figure->stable_rank_error;
    cosines->last_digit = rank->last_digit = 0.01;
  }
  return lines;
}

/// Prints the table; how many of the figures with a known value were reproduced.
void print_table(const std::vector<Line>& lines) {
  fmt::print("\n{:<9} {:<15} {:<12} {:>8} {:>8} {:>8}  {}\n", "padding", "norm", "law", "measured", "error",
             "known", "reproduced");
  int known = 0, reproduced = 0;
  for (const Line& line : lines) {
    fmt::print("{:<9} {:<15} {:<12} {:>8.4f} {:>8.4f}", line.padding, line.norm, line.law, line.measured.mean,
               line.standard_error());
    if (line.known) {
      fmt::print(" {:>8.{}f}  {}", *line.known, line.last_digit < 0.005 ? 3 : 2,
                 line.is_reproduced() ? "yes" : "no");
      known += 1;
      reproduced += line.is_reproduced() ? 1 : 0;
    }
    fmt::print("\n");
  }
  if (known > 0) fmt::print("\n{} of {} known figures are reproduced.\n", reproduced, known);
  for (const Line& line : lines) {
    if (line.norm != "bn" || line.padding != "circular" || line.law != "growth") continue;
    const double theory = std::sqrt(std::numbers::pi / (std::numbers::pi - 1));
    fmt::print("Theory for bn: sqrt(pi / (pi - 1)) = {:.4f}; measured {:.4f}, {:+.2f} %.\n", theory,
               line.measured.mean, 100 * (line.measured.mean / theory - 1));
  }
}

class Experiment {
 public:
  Experiment(const StudyOptions& options, const std::string& paddings) : options_(options) {
    for (const std::string& padding : split_list(paddings)) {
      if (padding != "circular" && padding != "zero")
        throw UsageError("--padding: '{}' is neither circular nor zero", padding);
      const bool circular = padding == "circular";
      if (std::find(paddings_.begin(), paddings_.end(), circular) != paddings_.end())
        throw UsageError("--padding: '{}' stands there twice", padding);
      paddings_.push_back(circular);
    }
    for (const bool circular : paddings_) {
      for (const Norm& norm : options.norm_list()) {
        LawNetwork network;
        network.norm = norm;
        network.circular = circular;
        if (norm.kind == Norm::Kind::gn && network.channels % norm.groups != 0)
          throw UsageError("--norms {}: the {} channels do not make {} groups", norm.str(), network.channels,
                           norm.groups);
        for (const std::uint64_t seed : options.seed_list()) runs_.push_back({network, seed, {}});
      }
    }
  }

  int operator()() {
    handle_signals();
    const int jobs =
        std::min(options_.fixed_jobs().value_or(options_.total_threads()), static_cast<int>(runs_.size()));
    {
      const std::unique_ptr<Backend> backend = make_backend(options_.device, 1);
      const LawNetwork& network = runs_.front().network;
      fmt::print(
          "init_laws: {} networks at initialization, {} blocks of {} channels on {}x{} maps, {} samples\n",
          runs_.size(), network.depth, network.channels, network.size, network.size, network.samples);
      fmt::print("device: {}; {} side by side; about half a second of a processor each\n",
                 backend->description(), jobs);
    }
    const StudyDirectory study = StudyDirectory::create(
        "init_laws",
        options_.out.empty() ? std::nullopt : std::optional<std::filesystem::path>(options_.out));
    fmt::print("results: {}\n", study.path().string());
    std::fflush(stdout);
    run_all(study, jobs);
    if (failure_) throw Error("{}", *failure_);
    if (interrupted()) {
      fmt::print(stderr, "init_laws: interrupted; what was measured is in {}\n", study.path().string());
      return 130;
    }
    print_table(lines_of(runs_));
    fmt::print("results: {0}\n  normlog report {0}   # a page with pictures; csv instead of report: tables\n",
               study.path().string());
    return 0;
  }

 private:
  void run_all(const StudyDirectory& study, int jobs) {
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    const auto work = [&] {
      for (std::size_t i = next++; i < runs_.size() && !interrupted(); i = next++) {
        try {
          run_one(study, runs_[i]);
        } catch (const std::exception& cause) {
          const std::lock_guard lock(mutex);
          if (!failure_) failure_ = fmt::format("{}: {}", name_of(runs_[i]), cause.what());
          stop_runs();
        }
      }
    };
    std::vector<std::jthread> others;
    for (int i = 1; i < jobs; ++i) others.emplace_back(work);
    work();
  }

  [[nodiscard]] std::string name_of(const LawRun& run) const {
    std::vector<std::pair<std::string, std::string>> swept;
    if (paddings_.size() > 1) swept.emplace_back("", padding_name(run.network.circular));
    return run_name(run.network.norm.str(), swept, static_cast<int>(run.seed));
  }

  void run_one(const StudyDirectory& study, LawRun& run) const {
    const RunDirectory directory = study.create_run(name_of(run));
    const std::unique_ptr<Backend> backend = make_backend(options_.device, 1);
    write_config(directory, run, *backend);
    run.laws = measure_laws(*backend, run.network, run.seed);
    write_log(directory, run.laws);
  }

  void write_config(const RunDirectory& directory, const LawRun& run, const Backend& backend) const {
    RunConfig c;
    c.set("experiment", "init_laws");
    c.set("command", options_.command);
    c.set("norm", run.network.norm.str());
    c.set("seed", run.seed);
    if (paddings_.size() > 1) c.set("swept", "padding");
    c.set("padding", padding_name(run.network.circular));
    c.set("depth", run.network.depth);
    c.set("channels", run.network.channels);
    c.set("image_size", run.network.size);
    c.set("samples", run.network.samples);
    c.set("init", "he");
    c.set("device", backend.name());
    c.set("cpu", cpu_model());
    c.set("isa", backend.isa());
    c.set("revision", revision());
    c.set("build", build_description());
    directory.write_config(c);
  }

  static void write_log(const RunDirectory& directory, const Laws& laws) {
    const std::vector<std::pair<std::string, double>> scalars{
        {"law.growth", laws.growth}, {"law.cosine", laws.cosine}, {"law.stable_rank", laws.stable_rank}};
    const std::vector<std::pair<std::string, const Laws::PerLayer*>> vectors{
        {"layer.convolution_grad_norm", &laws.convolution_grad_norm},
        {"layer.output_grad_norm", &laws.output_grad_norm},
        {"layer.activation_mean", &laws.activation_mean},
        {"layer.activation_variance", &laws.activation_variance},
        {"layer.cosine", &laws.cosines},
        {"layer.stable_rank", &laws.stable_ranks}};
    std::vector<Channel> channels;
    for (const auto& [name, value] : scalars) channels.push_back({name, ChannelKind::scalar, "", {}, {}});
    for (const auto& [name, list] : vectors)
      channels.push_back(
          {name, ChannelKind::vector, "", {static_cast<int>(list->values.size())}, list->names});
    LogWriter log(directory.metrics(), std::move(channels));
    for (const auto& [name, value] : scalars) log.append(log.channel(name), 0, 0, value);
    for (const auto& [name, list] : vectors) log.append(log.channel(name), 0, 0, std::span(list->values));
    log.close(RunStatus::done);
  }

  const StudyOptions& options_;
  std::vector<bool> paddings_;  ///< circular?
  std::vector<LawRun> runs_;
  std::optional<std::string> failure_;
};

void add_options(CLI::App& app, StudyOptions& o, std::string& paddings) {
  o.norms = "none,bn,ln,gn:2,gn:8,gn:32,in";
  o.seeds = "5";
  app.parse_complete_callback([&app, &o] { o.command = command_of(app); });
  app.option_defaults()->always_capture_default();
  CLI::App* what = app.add_option_group("What is compared");
  what->add_option("--norms", o.norms,
                   "Normalizations, separated by commas: none, bn, ln, ln-elementwise, gn:G (G a divisor of\n"
                   "64), in, rms");
  what->add_option("--padding", paddings, "circular, zero, or both");
  what->add_option("--seeds", o.seeds, "How many seeds (5: seeds 0 to 4), or which (4,7)");
  CLI::App* run = app.add_option_group("Where and how fast");
  run->add_option("--device", o.device, "auto, cpu or cuda");
  run->add_option("--threads", o.threads, "Processors to use (0: all); results do not depend on it");
  run->add_option("--jobs", o.jobs, "Networks side by side: a number, or auto for one on each processor");
  run->add_option("--out", o.out, "New directory for the results (default: runs/init_laws-<time>)");
}

}  // namespace

}  // namespace normlab

int main(int argc, char** argv) {
  using namespace normlab;
  CLI::App app{
      "Measures deep networks at initialization: how gradients grow from layer to layer going back, and how\n"
      "alike different samples become going forward. No data, no training. Without options: 7 norms, 2\n"
      "paddings, 5 seeds, within two minutes on two cores; every known figure is compared.\n\n"
      "  init_laws --norms bn,in,rms --padding circular --seeds 10",
      "init_laws"};
  StudyOptions options;
  std::string paddings = "circular,zero";
  add_options(app, options, paddings);
  return run_program(app, argc, argv, [&] { return Experiment(options, paddings)(); });
}
