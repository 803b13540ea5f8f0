#include "experiments/study/study_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "experiments/measure/diagnostics.hpp"
#include "experiments/options/backends.hpp"
#include "experiments/progress/interrupt.hpp"
#include "experiments/progress/processors.hpp"
#include "host/cpu/limits.hpp"
#include "host/record/text_layout.hpp"
#include "host/system/output.hpp"
#include "layers/as_size.hpp"

namespace normlab {

/// Sets up the network as a run will and does a few steps.
Planner::Needs Planner::measure(const RunSpec& spec) const {
  constexpr double kSeconds = 0.05;
  const std::unique_ptr<Backend> backend =
      make_backend(options_.device, options_.total_threads(), options_.device_choices());
  Graph graph(*backend, {1, data_.train.channels, data_.train.height, data_.train.width});
  const NetworkOptions network{spec.net, spec.norm, spec.width, static_cast<int>(data_.class_names.size())};
  build_network(graph, network);
  const int batch_size = std::min(spec.pass_size(), data_.train.count - options_.val);
  graph.setup({.batch = batch_size, .precision = options_.precision->storage});
  initialize(graph, *spec.init, spec.seed);
  Optimizer optimizer(graph, {});
  backend->set_active_workers(1);
  const int count = std::min(batch_size, 64);
  const std::vector<float> values(as_size(count) * graph.sample().per_sample(), 0.5F);
  const std::vector<std::int32_t> labels(as_size(count), 0);
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
    optimizer.step({1e-6, 0.9});
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ++steps;
  }
  return {{steps * count / seconds, graph.lanes_of(batch_size)},
          graph.memory_bytes() + diagnosis_memory(options_, network, *backend, graph.sample())};
}

int Planner::runs_side_by_side(int runs, std::size_t bytes_of_one) const {
  const int processors = options_.total_threads();
  const int wanted = std::clamp(options_.jobs->value_or(processors), 1, std::clamp(runs, 1, processors));
  const std::size_t available = available_memory();
  const int fitting = runs_in_memory(wanted, bytes_of_one, available);
  if (fitting < wanted) {
    say_text(
        wrapped(fmt::format("memory: {:.0f} MB are free and a run takes {:.0f} MB: {} side by side, not {}",
                            static_cast<double>(available) / 1e6, static_cast<double>(bytes_of_one) / 1e6,
                            fitting, wanted),
                2));
  }
  return fitting;
}

StudyPlan Planner::plan(std::span<const RunSpec> runs) {
  const double images = data_.train.count - options_.val;
  const double evaluated = data_.test.count + options_.val;
  StudyPlan plan;
  plan.processors = options_.total_threads();
  std::map<std::string, std::size_t> kinds;
  std::size_t memory = 1;
  for (const RunSpec& spec : runs) {
    const std::string name = spec.kind();
    if (!known_.contains(name) && !interrupted()) known_.emplace(name, measure(spec));
    const auto [kind, is_new] = kinds.try_emplace(name, kinds.size());
    if (is_new) {
      const Needs& needs = known_[name];
      plan.kinds.push_back(needs.kind);
      memory = std::max(memory, needs.memory);
    }
    double work = spec.epochs * (images + kEvaluationWork * evaluated);
    if (spec.other_statistics) work += kEvaluationWork * (images + 2 * evaluated);
    const auto steps = static_cast<std::int64_t>(std::ceil(images / spec.batch_size));
    const DiagnosisSteps looks(options_, steps);
    // Of very long runs the beginning stands for the rest.
    const std::int64_t all = steps * spec.epochs, counted = std::min<std::int64_t>(all, 100'000);
    double looking = 0;
    for (std::int64_t step = 1; step <= counted; ++step) looking += looks.work(step, spec.batch_size);
    work += looking * static_cast<double>(all) / static_cast<double>(counted);
    plan.runs.push_back({spec.name(), kind->second, work, spec.epochs});
  }
  plan.jobs = runs_side_by_side(static_cast<int>(runs.size()), memory);
  return plan;
}

}  // namespace normlab
