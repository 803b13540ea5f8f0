// Laws at initialization: no data, no training. In a deep network of convolution, norm and ReLU, how fast
// does the gradient grow going back, and how alike do different samples become going forward? With batch norm
// the growth is sqrt(pi / (pi - 1)) = 1.2112 a layer (Yang et al., "A mean field theory of batch
// normalization", 2019); without any norm all samples end up pointing the same way.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <thread>

#include "experiments/init_laws/law_table.hpp"
#include "experiments/measure/laws.hpp"
#include "experiments/measure/timer.hpp"
#include "experiments/options/backends.hpp"
#include "experiments/options/command_line.hpp"
#include "experiments/options/lists.hpp"
#include "experiments/options/options.hpp"
#include "experiments/options/revision.hpp"
#include "experiments/progress/interrupt.hpp"
#include "experiments/progress/screen.hpp"
#include "experiments/study/resume.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/metric_log.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_name.hpp"
#include "host/record/text_layout.hpp"
#include "host/system/output.hpp"
#include "host/system/paths.hpp"
#include "host/system/shell_word.hpp"
#include "host/system/system_error.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

class LawStudy {
 public:
  /// `program`: how this one was called.
  LawStudy(CommandLine& line, const StudyOptions& options, const std::string& paddings,
           std::filesystem::path program)
      : line_(line), options_(options), program_(std::move(program)) {
    for (const std::string& padding : split_list(paddings)) {
      if (padding != "circular" && padding != "zero")
        throw UsageError("--padding: '{}' is neither circular nor zero", padding);
      const bool circular = padding == "circular";
      if (std::find(paddings_.begin(), paddings_.end(), circular) != paddings_.end())
        throw UsageError("--padding: '{}' stands there twice", padding);
      paddings_.push_back(circular);
    }
    for (const bool circular : paddings_) {
      for (const Norm& norm : *options.norms) {
        LawNetwork network;
        network.norm = norm;
        network.circular = circular;
        if (!norm.divides(network.channels))
          throw UsageError("--norms {}: the {} channels do not make {} groups", norm.str(), network.channels,
                           norm.groups());
        for (const std::uint64_t seed : *options.seeds) runs_.push_back({network, seed, {}, false});
      }
    }
  }

  int operator()() {
    handle_signals();
    const int jobs =
        std::min(options_.jobs->value_or(options_.total_threads()), static_cast<int>(runs_.size()));
    {
      const std::unique_ptr<Backend> backend = make_backend(options_.device, 1);
      const LawNetwork& network = runs_.front().network;
      say("init_laws: {} networks at initialization, {} blocks of {} channels\n"
          "  on {}x{} maps, {} samples\n",
          runs_.size(), network.depth, network.channels, network.size, network.size, network.samples);
      say_text(wrapped(fmt::format("device: {}; {} side by side; about half a second of a processor each",
                                   backend->description(), jobs),
                       2));
    }
    const StudyDirectory study = open();
    write_study_file(line_, study);
    say("results: {}\n", study.path().string());
    flush_output();
    run_all(study, jobs);
    if (failure_) throw Error("{}", *failure_);
    if (interrupted()) {
      say_error("init_laws: interrupted ({}); what was measured is in {}\n  {} --resume {}   # goes on\n",
                ::strsignal(interrupt_signal()), study.path().string(), shell_path(program_),
                shell_path(study.path()));
      return interrupt_status();
    }
    print_table(runs_);
    say("results: {}\n  {} report {}   # a page with pictures; csv instead of report: tables\n",
        study.path().string(), shell_path(program_.parent_path() / "normlog"), shell_path(study.path()));
    return 0;
  }

 private:
  /// The study's directory: a new one, or one to go on with, whose finished networks are read back.
  StudyDirectory open() {
    if (options_.resume.empty()) {
      return StudyDirectory::create("init_laws", options_.out.empty()
                                                     ? std::nullopt
                                                     : std::optional<std::filesystem::path>(options_.out));
    }
    StudyDirectory study = StudyDirectory::open(options_.resume);
    std::size_t finished = 0;
    for (LawRun& run : runs_) {
      const RunDirectory directory(study.path() / name_of(run));
      if (!is_there(directory.path())) continue;
      run.is_measured = read_back(directory, run.laws);
      if (run.is_measured) {
        ++finished;
      } else {
        study.set_aside(directory.name());
      }
    }
    say("resumed: {} networks are measured already, {} are to do\n", finished, runs_.size() - finished);
    return study;
  }

  /// Whether the run was finished; then its laws, as far as the table needs them.
  static bool read_back(const RunDirectory& directory, Laws& laws) {
    if (!is_there(directory.metrics())) return false;
    const Log log = read_log(directory.metrics());
    if (!log.outcome || log.outcome->status != RunStatus::done || !log.damage.empty()) return false;
    for (const Row& row : log.rows) {
      const std::string& name = log.channels[row.channel].name;
      if (name == "law.growth") laws.growth = log.values_of(row)[0];
      if (name == "law.cosine") laws.cosine = log.values_of(row)[0];
      if (name == "law.stable_rank") laws.stable_rank = log.values_of(row)[0];
    }
    return true;
  }

  void run_all(const StudyDirectory& study, int jobs) {
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::size_t done = 0;
    const auto all = as_size(
        std::count_if(runs_.begin(), runs_.end(), [](const LawRun& run) { return !run.is_measured; }));
    const Timer timer;
    const auto work = [&] {
      for (std::size_t i = next++; i < runs_.size() && !interrupted(); i = next++) {
        if (runs_[i].is_measured) continue;
        try {
          run_one(study, runs_[i]);
          const std::lock_guard lock(mutex);
          tell(++done, all, timer.seconds());
        } catch (const std::exception& cause) {
          const std::lock_guard lock(mutex);
          if (!failure_) failure_ = fmt::format("{}: {}", name_of(runs_[i]), reason_of(cause));
          stop_runs();
        }
      }
    };
    std::vector<std::jthread> others;
    try {
      for (int i = 1; i < jobs; ++i) others.emplace_back(work);
    } catch (const std::system_error&) {  // no more threads can be started: the others do the work
    }
    work();
  }

  /// A line for each tenth of the networks.
  static void tell(std::size_t done, std::size_t all, double seconds) {
    if (done * 10 / all == (done - 1) * 10 / all || done == all) return;
    const double left = seconds * static_cast<double>(all - done) / static_cast<double>(done);
    say("{} of {} networks, {} left\n", done, all, clock_text(left));
    flush_output();
  }

  [[nodiscard]] std::string name_of(const LawRun& run) const {
    std::vector<std::string> swept;
    if (paddings_.size() > 1) swept.emplace_back("padding");
    const auto padding = [&](std::string_view) { return std::string(padding_name(run.network.circular)); };
    return run_name(arm_name(run.network.norm.str(), swept, padding), run.seed);
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

  CommandLine& line_;
  const StudyOptions& options_;
  const std::filesystem::path program_;
  std::vector<bool> paddings_;  ///< circular?
  std::vector<LawRun> runs_;
  std::optional<std::string> failure_;
};

void add_options(CommandLine& line, StudyOptions& o, std::string& paddings) {
  o.norms = "none,bn,ln,gn:2,gn:8,gn:32,in";
  o.seeds = "5";
  const OptionGroup what = line.group("What is compared");
  what.add("--norms", &o.norms, norms_help(norm_list_text(false) + "; G a divisor of 64")).list();
  what.add("--padding", &paddings, "circular, zero, or both").list();
  what.add("--seeds", &o.seeds, "How many seeds (5: seeds 0 to 4), or which (4,7; a single one: 7,)").list();
  const OptionGroup run = line.group("Where and how fast");
  run.add("--device", &o.device, "cpu, cuda, or auto: the CPU for now (cuda has not run on a GPU yet)");
  run.add("--threads", &o.threads, "Processors to use (0: all); results do not depend on it");
  run.add("--jobs", &o.jobs, "Networks side by side: a number, or auto for one on each processor");
  run.add("--resume", &o.resume,
          "Go on with the study in this directory: with its options, where none are typed;\n"
          "networks that were measured stay as they are");
  run.add("--out", &o.out, "New or empty directory for the results (default: runs/init_laws-<time>)");
}

}  // namespace

}  // namespace normlab

int main(int argc, char** argv) {
  using namespace normlab;
  CommandLine line(
      "init_laws",
      "Measures deep networks at initialization: how gradients grow from layer to layer going back, and how\n"
      "alike different samples become going forward. No data, no training. Without options: 7 norms, 2\n"
      "paddings, 5 seeds, within two minutes on two cores; every known figure is compared.\n\n"
      "  init_laws --norms bn,in,rms --padding circular --seeds 10");
  StudyOptions options;
  std::string paddings = "circular,zero";
  add_options(line, options, paddings);
  return line.run(argc, argv, [&] {
    if (!options.resume.empty()) {
      restore_options(line, options);
      const std::string those =
          RunConfig::read(std::filesystem::path(options.resume) / kStudyFile).text("padding");
      if (split_list(those) != split_list(paddings))
        throw UsageError("--resume {}: that study was made with --padding {}, now it is {}", options.resume,
                         those, paddings);
    }
    return LawStudy(line, options, paddings, argv[0])();
  });
}
