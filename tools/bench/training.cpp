#include "tools/bench/training.hpp"

#include <chrono>

#include "host/record/statistics.hpp"
#include "tools/bench/work.hpp"

namespace normlab::bench {

namespace {

Figure figure_of(const Cell& cell, const Shape& sample, const char* section, std::string name,
                 const char* pass) {
  return {section, std::move(name), cell.norm.str(), pass, sample.with_n(cell.batch_size), cell.precision};
}

/// Every layer and phase of the profiled steps, in the order of the network.
void add_layers(const Subject& subject, int steps, DeviceResults& results) {
  for (int i = Profile::kStep; i < subject.profile->layers(); ++i) {
    const Layer* layer =
        i == Profile::kStep ? nullptr : subject.graph.nodes()[static_cast<std::size_t>(i)].layer.get();
    for (const Phase phase : kPhases) {
      const Work work = work_of(subject, i, phase);
      if (work.seconds == 0) continue;
      Figure figure = figure_of(subject.cell, layer == nullptr ? subject.graph.sample() : layer->y_shape(),
                                "layer", layer == nullptr ? "step" : layer->name(), phase_name(phase));
      figure.seconds = work.seconds / steps;
      figure.bytes = work.bytes / steps;
      figure.flops = work.flops / steps;
      results.figures.push_back(figure);
    }
  }
}

}  // namespace

void measure_training(const DevicePlan& plan, const Cell& cell, const MakeDevice& make,
                      DeviceResults& results) {
  Subject subject(plan.training, cell, make());
  subject.train();
  std::vector<double> seconds;
  for (int round = 0; round < plan.rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    subject.train();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  Figure step = figure_of(cell, subject.graph.sample(), "step", "", "direct");
  step.seconds = median(seconds);
  results.figures.push_back(step);
  if (!plan.layers) return;
  subject.graph.set_profile(subject.profile.get());
  for (int round = 0; round < plan.rounds; ++round) {
    subject.train();
    subject.profiled_images += cell.batch_size;
  }
  subject.graph.set_profile(nullptr);
  add_layers(subject, plan.rounds, results);
}

}  // namespace normlab::bench
