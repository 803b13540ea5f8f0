#include "experiments/study/study.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>

#include "experiments/options/backends.hpp"
#include "experiments/progress/interrupt.hpp"
#include "experiments/progress/processors.hpp"
#include "experiments/study/range_test.hpp"
#include "experiments/study/resume.hpp"
#include "experiments/study/study_plan.hpp"
#include "experiments/training/trainer.hpp"
#include "host/data/load_dataset.hpp"
#include "host/record/summary.hpp"
#include "host/record/text_layout.hpp"
#include "host/system/output.hpp"
#include "host/system/paths.hpp"
#include "host/system/shell_word.hpp"
#include "host/system/system_error.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string percent(double part, double whole) {
  return fmt::format("{:.1f} %", 100 * part / std::max(1e-9, whole));
}

Dataset load(const StudyOptions& options) {
  Dataset data = load_dataset(options.data);
  if (options.limit_train > 0) data.train = take(data.train, options.limit_train);
  if (options.limit_test > 0) data.test = take(data.test, options.limit_test);
  if (options.val >= data.train.count) {
    throw UsageError("--val {}: there are only {} training images", options.val, data.train.count);
  }
  return data;
}

/// What the runs differ in: "5 norms (none, bn, ln, gn:4, in) x 4 batch_size (2, 8, 32, 128) x 2 seeds".
std::string dimensions(std::span<const RunSpec> runs) {
  std::vector<std::string> norms, seeds;
  const auto add = [](std::vector<std::string>& to, const std::string& value) {
    if (std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
  };
  std::vector<std::vector<std::string>> swept(runs.front().swept.size());
  for (const RunSpec& run : runs) {
    add(norms, run.norm.str());
    add(seeds, std::to_string(run.seed));
    for (std::size_t i = 0; i < swept.size(); ++i) add(swept[i], run.value_of(run.swept[i]));
  }
  std::string text = fmt::format("norm {}", fmt::join(norms, ", "));
  for (std::size_t i = 0; i < swept.size(); ++i) {
    text += fmt::format("; {} {}", runs.front().swept[i], fmt::join(swept[i], ", "));
  }
  return text + fmt::format("; seed {}", fmt::join(seeds, ", "));
}

/// A run that goes on convolves as it began.
DeviceChoices choices_of(const StudyOptions& options, const RunDirectory& directory) {
  DeviceChoices choices = options.device_choices();
  if (is_there(directory.config())) {
    choices.algorithms = RunConfig::read(directory.config()).text("algorithms");
  }
  return choices;
}

/// Trains all of `runs`, as many side by side as the plan says.
std::vector<RunOutcome> train_all(const StudyOptions& options, std::span<const RunSpec> runs,
                                  const Dataset& data, const StudyPlan& plan, const StudyDirectory& study) {
  const int count = static_cast<int>(runs.size());
  std::vector<RunOutcome> outcomes(runs.size());
  std::optional<std::string> failure;
  std::mutex mutex;
  std::atomic<int> next{0};
  {
    Progress progress(plan);
    ProcessorBudget processors(plan.processors, plan.jobs);
    const auto work = [&](int seat) {
      const std::function<int()> share = [&processors, seat] { return processors.share(seat); };
      for (int i = next++; i < count && !interrupted(); i = next++) {
        const RunSpec& spec = runs[as_size(i)];
        try {
          const RunDirectory directory = study.open_run(spec.name());
          const auto backend =
              make_backend(options.device, options.total_threads(), choices_of(options, directory));
          outcomes[as_size(i)] = train({*backend, options, spec, data, share, directory, progress, i});
        } catch (const std::exception& cause) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = fmt::format("{}: {}", spec.name(), reason_of(cause));
          stop_runs();
        }
      }
      processors.leave(seat);
    };
    std::vector<std::jthread> others;
    for (int seat = 1; seat < plan.jobs; ++seat) {
      try {
        others.emplace_back(work, seat);
      } catch (const std::system_error&) {  // no more threads can be started: the other seats do the work
        processors.leave(seat);
      }
    }
    work(0);
  }
  if (failure) throw Error("{}", *failure);
  return outcomes;
}

std::string summary_of(std::span<const RunFigures> figures) {
  std::vector<RunResults> results;
  for (const RunFigures& figure : figures) results.push_back(figure.run);
  return summary_text(results);
}

void print_notes(const Remaining& remaining) {
  for (const std::string& note : remaining.notes) say("  {}\n", note);
}

/// Finds the rate of each norm by a study in a directory of the study's own, whose finished runs are not
/// repeated either, and sets it in `runs`.
void find_rates(const StudyOptions& options, const Dataset& data, const StudyDirectory& study,
                std::vector<RunSpec>& runs) {
  RangeTest test(options, data, runs);
  const std::filesystem::path path = study.path() / kRateTests;
  const bool is_begun = is_there(path);
  const StudyDirectory directory =
      is_begun ? StudyDirectory::open(path) : StudyDirectory::create(options.experiment, path);
  const auto train = [&] {
    const Remaining remaining = remaining_runs(directory, test.options, test.runs, test.data);
    const StudyPlan plan = Planner(test.options, test.data).plan(remaining.runs);
    say("--lr auto: {} short runs on {} training images with {} held out, about {}\n", remaining.runs.size(),
        test.data.train.count - test.options.val, test.options.val, clock_text(plan.seconds()));
    flush_output();
    print_notes(remaining);
    static_cast<void>(train_all(test.options, remaining.runs, test.data, plan, directory));
  };
  train();
  if (interrupted()) return;
  if (const std::vector<Norm> none = test.without_a_rate(read_figures(path)); !none.empty()) {
    std::vector<std::string> names;
    for (const Norm& norm : none) names.push_back(norm.str());
    say_text(wrapped(
        fmt::format("--lr auto: no rate learned with {}: no accuracy on the {} images held out is above "
                    "what guessing gives ({:.2f} %); more rates are tried",
                    fmt::join(names, ", "), test.options.val, 100 * test.guess.highest(RangeTest::rates)),
        2));
    test.widen(none);
    train();
    if (interrupted()) return;
  }
  const std::map<std::string, FoundRate> found = best_rates(read_figures(path), test.guess);
  say("{}", rates_text(found));
  for (RunSpec& run : runs) {
    const FoundRate& rate = found.at(run.norm.str());
    run.lr *= rate.lr;
    run.lr_choice = rate.learned ? rate_choice::found : rate_choice::none_learned;
    run.lr_test = rate.accuracies;
  }
}

/// One line on what --full would do.
std::string full_line(CommandLine& line, const Experiment& experiment, Planner& planner) {
  const OtherDefaults full(line, experiment.full);
  if (full.text().empty()) return "";
  const std::vector<RunSpec> runs = experiment.runs();
  return fmt::format("--full: {}: {} runs, about {}\n", full.text(), runs.size(),
                     clock_text(planner.plan(runs).seconds()));
}

/// "1 run", "2 runs".
std::string counted(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// Says what stopped the study and how it goes on; the exit status. `program`: how this one was called.
int say_interrupted(const std::string& name, const std::filesystem::path& program,
                    const StudyDirectory& study) {
  const std::string place = shell_path(study.path());
  say_error("{}: interrupted ({}); what was measured is in {}\n  {} --resume {}   # goes on\n", name,
            ::strsignal(interrupt_signal()), study.path().string(), shell_path(program), place);
  return interrupt_status();
}

/// `program`: how this one was called.
int run_study(CommandLine& line, StudyOptions& options, const Experiment& experiment,
              const std::filesystem::path& program) {
  const auto begin = std::chrono::steady_clock::now();
  options.command = line.typed();
  handle_signals();
  if (!options.resume.empty()) restore_options(line, options);
  if (options.full) OtherDefaults(line, experiment.full).keep();
  if (options.lr->are_found() && !experiment.finds_lr)
    throw UsageError("--lr auto: {} needs rates, such as 0.1; compare_norms can find them",
                     options.experiment);
  // The study is gone on with, and looked at, from other directories, too.
  if (const std::string place = place_of(options.data); place != options.data) line.set("--data", place);
  const bool is_drawn = options.data.starts_with("synthetic");
  if (!options.resume.empty() && !is_drawn && !is_there(options.data))
    throw UsageError("--resume {}: its data set '{}' is not there any more; --data DIR says where it is now",
                     options.resume, options.data);
  if (line.is_set("--out") && options.out.empty()) throw UsageError("--out: it is empty; name a directory");
  options.check();
  std::vector<RunSpec> all = experiment.runs();
  check_runs(options, all);
  const Dataset data = load(options);
  Planner planner(options, data);
  std::optional<StudyDirectory> study;
  Remaining remaining{all};
  if (!options.resume.empty()) {
    study = StudyDirectory::open(options.resume);
    if (options.lr->are_found()) find_rates(options, data, *study, all);
    if (interrupted()) return say_interrupted(options.experiment, program, *study);
    remaining = remaining_runs(*study, options, all, data);
  }
  std::vector<RunSpec>& runs = remaining.runs;
  const StudyPlan plan = planner.plan(runs);
  const std::string full = options.full ? "" : full_line(line, experiment, planner);
  if (interrupted()) {
    say_error("{}: interrupted ({}) before anything was begun\n", options.experiment,
              ::strsignal(interrupt_signal()));
    return interrupt_status();
  }
  const std::unique_ptr<Backend> backend =
      make_backend(options.device, plan.processors, options.device_choices());
  backend->set_active_workers(processor_share(plan.processors, plan.jobs, plan.jobs - 1));

  const std::string& name = options.experiment;
  if (!study) {
    study = StudyDirectory::create(
        name, options.out.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.out));
  }
  write_study_file(line, *study);
  say("{}: {} of {} on {}: {} training and {} test images\n", name, counted(all.size(), "run"),
      counted(as_size(options.epochs), "epoch"), data.source, data.train.count - options.val,
      data.test.count);
  say("  {}\n", dimensions(all));
  if (!options.resume.empty()) {
    say("resumed: {} finished already, {} to do, {} of them from a checkpoint\n",
        counted(remaining.finished, "run"), runs.size(), remaining.begun);
    print_notes(remaining);
  }
  say("device: {}; {}; about {}\n", backend->description(),
      plan.jobs == 1 ? "one run at a time" : fmt::format("{} runs side by side", plan.jobs),
      clock_text(plan.seconds()));
  say("{}results: {}\n", full, study->path().string());
  if (!study->is_locked())
    say_text(wrapped(
        "note: this file system has no locks; take care that no other process works in that directory", 2));
  flush_output();
  if (options.lr->are_found() && options.resume.empty()) find_rates(options, data, *study, runs);

  const double loading = seconds_since(begin);
  const std::vector<RunOutcome> outcomes = train_all(options, runs, data, plan, *study);
  const double wall = seconds_since(begin);
  if (interrupted()) {
    return say_interrupted(name, program, *study);
  }

  RunTimes times;
  for (const RunOutcome& outcome : outcomes) {
    times.training += outcome.times.training;
    times.evaluation += outcome.times.evaluation;
    times.diagnosis += outcome.times.diagnosis;
    times.saving += outcome.times.saving;
    times.logging += outcome.times.logging;
    times.total += outcome.times.total;
  }
  const std::vector<RunFigures> figures = read_figures(study->path());
  say("\n{}\n", experiment.table ? experiment.table(figures) : summary_of(figures));
  say_text(wrapped(
      fmt::format("time: {} in all, {:.1f} s of it loading data and looking around; of the runs' own time {} "
                  "training steps, {} evaluation, {} diagnosis, {} checkpoints, {} log, {} the rest (order "
                  "of images, "
                  "set-up)",
                  clock_text(wall), loading, percent(times.training, times.total),
                  percent(times.evaluation, times.total), percent(times.diagnosis, times.total),
                  percent(times.saving, times.total), percent(times.logging, times.total),
                  percent(times.total - times.training - times.evaluation - times.diagnosis - times.saving -
                              times.logging,
                          times.total)),
      2));
  const std::string normlog = shell_path(program.parent_path() / "normlog");
  const std::string where = shell_path(study->path());
  say("results: {}\n  {} report {}   # a page with pictures; csv instead of report: tables\n",
      study->path().string(), normlog, where);
  if (!output_failure().empty())
    say_error("{}: the study is whole; {} summary {}   # prints its table\n", name, normlog, where);
  return 0;
}

}  // namespace

int run_experiment(CommandLine& line, int argc, char** argv, StudyOptions& options,
                   const Experiment& experiment) {
  return line.run(argc, argv, [&] { return run_study(line, options, experiment, argv[0]); });
}

}  // namespace normlab
