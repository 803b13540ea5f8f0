#include "experiments/common/study.hpp"

#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "experiments/common/backends.hpp"
#include "host/data/batches.hpp"
#include "host/record/summary.hpp"

namespace normlab {

namespace {

/// Images a second that one job trains on, from a few steps of the first run.
double measure_rate(const StudyOptions& options, const RunSpec& spec, const Dataset& data, int threads) {
  const std::unique_ptr<Backend> backend = make_backend(options.device, threads);
  Graph graph(*backend, {1, data.train.channels, data.train.height, data.train.width});
  build_network(graph, {options.net, spec.norm, options.width, static_cast<int>(data.class_names.size())});
  const int count = std::min(options.batch_size, 64);
  graph.setup({.batch = count});
  initialize(graph, parse_initialization(options.init), spec.seed);
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
  while (seconds < 0.15) {
    graph.forward_backward(batch);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ++steps;
  }
  return steps * count / seconds;
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
  const int threads = options.total_threads();
  const int count = static_cast<int>(runs.size());
  const int jobs = std::clamp(options.jobs > 0 ? options.jobs : threads, 1, std::min(count, threads));
  const int threads_each = std::max(1, threads / jobs);
  const std::string device = make_backend(options.device, threads_each)->description();
  const double rate = measure_rate(options, runs.front(), data, threads_each);

  if (interrupted()) return 130;
  const StudyDirectory study = StudyDirectory::create(
      experiment, options.out.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.out));
  const double images = static_cast<double>(data.train.count - options.val) * options.epochs;
  // A forward pass is a third of a training step.
  const double evaluated = static_cast<double>(data.test.count + options.val) * options.epochs / 3;
  const double rounds = std::ceil(static_cast<double>(count) / jobs);
  fmt::print("{}: {} runs of {} epochs on {}: {} training and {} test images\n", experiment, count,
             options.epochs, data.source, data.train.count - options.val, data.test.count);
  fmt::print("device: {}; {} side by side; about {}\n", device,
             jobs == 1 ? "one run at a time" : fmt::format("{} runs", jobs),
             clock_text(rounds * (images + evaluated) / rate));
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
    Progress progress(count, images * count);
    const auto work = [&] {
      for (int i = next++; i < count && !interrupted(); i = next++) {
        try {
          const RunSpec& spec = runs[static_cast<std::size_t>(i)];
          const RunDirectory directory = study.create_run(spec.name());
          outcomes[static_cast<std::size_t>(i)] =
              train(options, spec, data, threads_each, directory, progress, i);
        } catch (const std::exception& cause) {
          const std::lock_guard lock(mutex);
          if (!failure)
            failure = fmt::format("{}: {}", runs[static_cast<std::size_t>(i)].name(), cause.what());
          stop_runs();
        }
      }
    };
    std::vector<std::jthread> workers;
    for (int job = 1; job < jobs; ++job) workers.emplace_back(work);
    work();
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
    times.total += outcome.times.total;
  }
  std::vector<RunResults> results;
  for (const auto& path : find_runs(std::vector<std::filesystem::path>{study.path()}))
    results.push_back(read_run(path));
  fmt::print("\n{}\n", summary_text(results));
  fmt::print(
      "time: {} in all, {:.1f} s of it loading data and looking around; of the runs' own time {} training "
      "steps, "
      "{} evaluation, {} the rest (order of images, log, set-up)\n",
      clock_text(wall), loading, percent(times.training, times.total), percent(times.evaluation, times.total),
      percent(times.total - times.training - times.evaluation, times.total));
  fmt::print("results: {} (normlog csv {} writes tables)\n", study.path().string(), study.path().string());
  return 0;
}

}  // namespace normlab
