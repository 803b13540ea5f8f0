#include "experiments/common/study.hpp"

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "experiments/common/backends.hpp"
#include "experiments/common/processors.hpp"
#include "host/data/batches.hpp"
#include "host/limits.hpp"
#include "host/record/summary.hpp"

namespace normlab {

namespace {

/// What a run of a norm takes.
struct Needs {
  double rate = 0;         ///< images a second on one processor
  std::size_t memory = 0;  ///< bytes
  int lanes = 1;           ///< the most processors that a step can use
};

/// Sets up the network as a run will and does a few steps.
Needs measure(const StudyOptions& options, const RunSpec& spec, const Dataset& data) {
  constexpr double kSeconds = 0.05;
  const std::unique_ptr<Backend> backend = make_backend(options.device, options.total_threads());
  Graph graph(*backend, {1, data.train.channels, data.train.height, data.train.width});
  build_network(graph, {options.net, spec.norm, options.width, static_cast<int>(data.class_names.size())});
  const int batch_size = std::min(options.batch_size, data.train.count - options.val);
  graph.setup({.batch = batch_size});
  initialize(graph, parse_initialization(options.init), spec.seed);
  backend->set_active_workers(1);
  const int count = std::min(batch_size, 64);
  const std::vector<float> values(static_cast<std::size_t>(count) * graph.sample().per_sample(), 0.5F);
  const std::vector<std::int32_t> labels(static_cast<std::size_t>(count), 0);
  Batch batch;
  batch.count = count;
  batch.values = values.data();
  batch.labels = labels.data();
  graph.forward_backward(batch);
  const auto start = std::chrono::steady_clock::now();
  int steps = 0;
  double seconds = 0;
  while (seconds < kSeconds) {
    graph.forward_backward(batch);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ++steps;
  }
  const int shards = (batch_size + graph.shard_samples() - 1) / graph.shard_samples();
  return {steps * count / seconds, graph.memory_bytes(), std::min(backend->lanes(), shards)};
}

/// How many runs go on side by side: as wanted, or one on each processor, as long as there is memory for
/// them.
int runs_side_by_side(const StudyOptions& options, int runs, std::size_t bytes_of_one) {
  const int processors = options.total_threads();
  const int wanted = std::clamp(options.fixed_jobs().value_or(processors), 1, std::min(runs, processors));
  const std::size_t available = available_memory();
  const int fitting = runs_in_memory(wanted, bytes_of_one, available);
  if (fitting < wanted) {
    fmt::print("memory: {:.0f} MB are free and a run takes {:.0f} MB: {} side by side, not {}\n",
               static_cast<double>(available) / 1e6, static_cast<double>(bytes_of_one) / 1e6, fitting,
               wanted);
  }
  return fitting;
}

/// What there is to do, after trying every norm; stops trying when the user does not want to go on.
StudyPlan plan_study(const StudyOptions& options, const std::vector<RunSpec>& runs, const Dataset& data) {
  const double images = static_cast<double>(data.train.count - options.val) * options.epochs;
  const double evaluated = static_cast<double>(data.test.count + options.val) * options.epochs;
  StudyPlan plan;
  plan.epochs = options.epochs;
  plan.work = images + kEvaluationWork * evaluated;
  plan.processors = options.total_threads();
  std::map<std::string, std::size_t> kinds;  // a norm's runs are equally fast
  std::size_t memory = 1;
  for (const RunSpec& spec : runs) {
    const auto [kind, is_new] = kinds.try_emplace(spec.norm.str(), kinds.size());
    plan.runs.push_back({spec.name(), kind->second});
    if (!is_new || interrupted()) continue;
    const Needs needs = measure(options, spec, data);
    plan.rates.push_back(needs.rate);
    plan.lanes = std::max(plan.lanes, needs.lanes);
    memory = std::max(memory, needs.memory);
  }
  plan.jobs = runs_side_by_side(options, static_cast<int>(runs.size()), memory);
  return plan;
}

std::string percent(double part, double whole) {
  return fmt::format("{:.1f} %", 100 * part / std::max(1e-9, whole));
}

}  // namespace

int run_study(const StudyOptions& options, const std::vector<RunSpec>& runs) {
  const std::string& experiment = options.experiment;
  handle_signals();
  const auto begin = std::chrono::steady_clock::now();
  Dataset data = load_dataset(options.data);
  if (options.limit_train > 0) data.train = take(data.train, options.limit_train);
  if (options.limit_test > 0) data.test = take(data.test, options.limit_test);
  if (options.val >= data.train.count) {
    throw UsageError("--val {}: there are only {} training images", options.val, data.train.count);
  }
  const int count = static_cast<int>(runs.size());
  const StudyPlan plan = plan_study(options, runs, data);
  if (interrupted()) return 130;
  const std::unique_ptr<Backend> backend = make_backend(options.device, plan.processors);
  backend->set_active_workers(processor_share(plan.processors, plan.jobs, plan.jobs - 1));

  const StudyDirectory study = StudyDirectory::create(
      experiment, options.out.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.out));
  fmt::print("{}: {} runs of {} epochs on {}: {} training and {} test images\n", experiment, count,
             options.epochs, data.source, data.train.count - options.val, data.test.count);
  fmt::print("device: {}; {}; about {}\n", backend->description(),
             plan.jobs == 1 ? "one run at a time" : fmt::format("{} runs side by side", plan.jobs),
             clock_text(plan.seconds()));
  for (const RunSpec& run : runs) {
    if (run.seed == runs.front().seed) fmt::print("  {:<15} peak learning rate {}\n", run.norm.str(), run.lr);
  }
  fmt::print("results: {}\n", study.path().string());
  std::fflush(stdout);

  std::vector<RunOutcome> outcomes(runs.size());
  std::optional<std::string> failure;
  std::mutex mutex;
  std::atomic<int> next{0};
  const auto start = std::chrono::steady_clock::now();
  {
    Progress progress(plan);
    ProcessorBudget processors(plan.processors, plan.jobs);
    const auto work = [&](int seat) {
      const std::function<int()> share = [&processors, seat] { return processors.share(seat); };
      for (int i = next++; i < count && !interrupted(); i = next++) {
        try {
          const RunSpec& spec = runs[static_cast<std::size_t>(i)];
          const RunDirectory directory = study.create_run(spec.name());
          outcomes[static_cast<std::size_t>(i)] = train(options, spec, data, share, directory, progress, i);
        } catch (const std::exception& cause) {
          const std::lock_guard lock(mutex);
          if (!failure)
            failure = fmt::format("{}: {}", runs[static_cast<std::size_t>(i)].name(), cause.what());
          stop_runs();
        }
      }
      processors.leave(seat);
    };
    std::vector<std::jthread> others;
    for (int seat = 1; seat < plan.jobs; ++seat) {
      try {
        others.emplace_back(work, seat);
      } catch (const std::system_error&) {  // no more threads to be had: the other seats do the work
        processors.leave(seat);
      }
    }
    work(0);
  }
  const auto seconds = [](auto from, auto to) { return std::chrono::duration<double>(to - from).count(); };
  const double loading = seconds(begin, start), wall = seconds(begin, std::chrono::steady_clock::now());
  if (failure) throw Error("{}", *failure);
  if (interrupted()) {
    fmt::print(stderr, "{}: interrupted; what was measured is in {}\n", experiment, study.path().string());
    return 130;
  }

  RunTimes times;
  for (const RunOutcome& outcome : outcomes) {
    times.training += outcome.times.training;
    times.evaluation += outcome.times.evaluation;
    times.diagnosis += outcome.times.diagnosis;
    times.total += outcome.times.total;
  }
  std::vector<RunResults> results;
  for (const auto& path : find_runs(std::vector<std::filesystem::path>{study.path()}))
    results.push_back(read_run(path));
  fmt::print("\n{}\n", summary_text(results));
  fmt::print(
      "time: {} in all, {:.1f} s of it loading data and looking around; of the runs' own time {} training "
      "steps, "
      "{} evaluation, {} diagnosis, {} the rest (order of images, log, set-up)\n",
      clock_text(wall), loading, percent(times.training, times.total), percent(times.evaluation, times.total),
      percent(times.diagnosis, times.total),
      percent(times.total - times.training - times.evaluation - times.diagnosis, times.total));
  fmt::print("results: {0}\n  normlog report {0}   # a page with pictures; csv instead of report: tables\n",
             study.path().string());
  return 0;
}

}  // namespace normlab
