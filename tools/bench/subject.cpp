#include "tools/bench/subject.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "host/cpu/peak.hpp"
#include "layers/as_size.hpp"
#include "layers/initialize.hpp"
#include "layers/philox.hpp"

namespace normlab::bench {

std::vector<Cell> Plan::cells() const {
  std::vector<Cell> cells;
  for (const Norm& norm : norms) {
    for (const int batch_size : batch_sizes) {
      for (const int count : threads) {
        for (const DataType precision : precisions) cells.push_back({norm, batch_size, count, precision});
      }
    }
  }
  return cells;
}

Subject::Subject(const Plan& plan, const Cell& what, std::unique_ptr<Backend> device)
    : cell(what),
      backend(std::move(device)),
      graph(*backend, {1, 3, 32, 32}),
      pixels_(*backend, as_size(cell.batch_size) * graph.sample().per_sample()),
      images_{reinterpret_cast<const std::uint8_t*>(pixels_.data()), nullptr, cell.batch_size, 3, 32, 32},
      indices_(as_size(cell.batch_size)),
      labels_(as_size(cell.batch_size)) {
  build_network(graph, {plan.net, cell.norm, plan.width});
  graph.setup({.batch = cell.batch_size, .evaluation_batch = cell.batch_size, .precision = cell.precision});
  initialize(graph, Initialization::he, 0);
  optimizer_ = std::make_unique<Optimizer>(graph, OptimizerOptions{});
  profile =
      std::make_unique<Profile>(backend->workers(), static_cast<int>(graph.nodes().size()), backend->clock());
  Philox random(0, Purpose::probe);
  std::vector<std::uint8_t> noise(pixels_.bytes());
  for (std::uint8_t& value : noise) value = static_cast<std::uint8_t>(random.below(256));
  backend->to_device(noise.data(), pixels_.data(), noise.size());
  std::iota(indices_.begin(), indices_.end(), 0U);
  for (std::int32_t& label : labels_) label = static_cast<std::int32_t>(random.below(10));
  batch_.count = cell.batch_size;
  batch_.images = &images_;
  batch_.indices = indices_.data();
  batch_.mean = {0.5F, 0.5F, 0.5F};
  batch_.std = {0.25F, 0.25F, 0.25F};
  batch_.labels = labels_.data();
}

void Subject::train() {
  graph.forward_backward(batch_);
  optimizer_->step({1e-3, 0.9});
}

double Subject::rate(double seconds, void (Subject::*step)(), double& images) {
  const auto start = std::chrono::steady_clock::now();
  double elapsed = 0;
  double count = 0;
  while (elapsed < seconds) {
    (this->*step)();
    count += batch_.count;
    elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  images += count;
  return count / elapsed;
}

void Subject::measure(double seconds, bool layers) {
  train();  // whatever ran before has the caches
  double uncounted = 0;
  const auto with_clock = [&] {
    graph.set_profile(profile.get());
    profiled.push_back(rate(seconds, &Subject::train, profiled_images));
    graph.set_profile(nullptr);
  };
  const bool clock_first = training.size() % 2 == 1;  // the second has the warmer machine
  if (layers && clock_first) with_clock();
  training.push_back(rate(seconds, &Subject::train, uncounted));
  if (layers && !clock_first) with_clock();
  evaluation.push_back(rate(seconds / 4, &Subject::evaluate, uncounted));
}

const Subject& Results::at(const Cell& cell) const {
  const auto found = std::find_if(subjects.begin(), subjects.end(),
                                  [&](const auto& subject) { return subject->cell == cell; });
  if (found == subjects.end()) throw Error("bench: {} was not measured there", cell.norm.str());
  return **found;
}

Results measure(const Plan& plan, int rounds, double seconds, bool layers) {
  Results results{plan, {}, {}, rounds};
  DeviceChoices choices;
  choices.direct_convolutions = plan.conv == ConvolutionMethod::direct;
  for (const Cell& cell : plan.cells())
    results.subjects.push_back(
        std::make_unique<Subject>(plan, cell, make_backend("cpu", cell.threads, choices)));
  for (int round = 0; round < rounds; ++round) {
    for (const auto& subject : results.subjects) subject->measure(seconds, layers);
    if (round == 0) {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      results.process_megabytes = static_cast<double>(usage.ru_maxrss) / 1024;
    }
    for (const int threads : plan.threads) {
      Limits& limits = results.limits[threads];
      limits.fma.push_back(measure_fma_peak(threads));
      limits.cache.push_back(measure_bandwidth(threads, cache_bytes_per_thread()));
      limits.memory.push_back(measure_bandwidth(threads, memory_bytes_per_thread(threads)));
    }
  }
  return results;
}

}  // namespace normlab::bench
