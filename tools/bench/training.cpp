#include "tools/bench/training.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "experiments/training/device_images.hpp"
#include "host/record/statistics.hpp"
#include "layers/as_size.hpp"
#include "layers/initialize.hpp"
#include "layers/steps.hpp"
#include "tools/bench/work.hpp"

namespace normlab::bench {

namespace {

/// The first two epochs are not measured: steps over as many samples are done directly once, then recorded.
constexpr int kUnmeasuredEpochs = 2;
/// Clears before a profiled step: the host has given all of the step to the device before that begins with
/// it.
constexpr int kHeadStart = 8;

Images noise(int count) {
  Images images;
  images.count = count;
  images.channels = 3;
  images.height = images.width = 32;
  images.pixels.resize(as_size(count) * images.image_bytes());
  for (std::size_t i = 0; i < images.pixels.size(); ++i)
    images.pixels[i] = static_cast<std::uint8_t>((i * 2654435761U) >> 24);
  images.labels.resize(as_size(count));
  for (std::size_t i = 0; i < images.labels.size(); ++i) images.labels[i] = static_cast<std::uint8_t>(i % 10);
  return images;
}

/// A network in training on images that lie on its device, as a run trains it.
class Trainee {
 public:
  Trainee(const DevicePlan& plan, const Cell& cell, Backend& backend)
      : plan_(plan),
        cell_(cell),
        backend_(backend),
        host_images_(noise(plan.epoch_images)),
        images_(backend, host_images_),
        graph_(backend, {1, 3, 32, 32}),
        optimizer_((build(), graph_), OptimizerOptions{}),
        steps_(backend, like(), plan.epoch_images, cell.batch_size, [this](int samples) { step(samples); }),
        clock_(backend.clock()) {
    std::vector<std::uint32_t> order(as_size(plan.epoch_images));
    std::iota(order.begin(), order.end(), 0U);
    std::vector<StepInput> rows;
    for (std::uint32_t first = 0; first < order.size();
         first += static_cast<std::uint32_t>(cell.batch_size)) {
      rows.push_back(
          {first, 1, optimizer_.rates_of({1e-3, 0.9}, static_cast<std::int64_t>(rows.size()) + 1)});
    }
    steps_.load(order, rows);
  }

  void measure(DeviceResults& results) {
    std::vector<double> epochs, replayed;
    const int whole =
        steps_.samples(steps_.count() - 1) == cell_.batch_size ? steps_.count() : steps_.count() - 1;
    const int measured = std::max(3, plan_.rounds / 2);
    for (int epoch = 0; epoch < kUnmeasuredEpochs + measured; ++epoch) {
      const auto start = std::chrono::steady_clock::now();
      steps_.rewind();
      clock_->mark();
      steps_.run(std::max(whole, 0));
      clock_->mark();
      steps_.run(steps_.count() - steps_.done());
      (void)steps_.results(0, steps_.count());  // waits
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      const std::vector<double> seconds = clock_->intervals();
      if (epoch < kUnmeasuredEpochs) continue;
      epochs.push_back(elapsed.count());
      if (whole > 0) replayed.push_back(seconds.front() / whole);
    }
    const auto add = [&](const char* section, std::string name, const char* pass,
                         std::vector<double> seconds) {
      if (seconds.empty()) return;
      Figure figure = figure_of(section, std::move(name), pass, graph_.sample());
      figure.seconds = median(seconds);
      results.figures.push_back(figure);
    };
    add("epoch", std::to_string(plan_.epoch_images), "replayed", epochs);
    add("step", "", "replayed", replayed);
    add("step", "", "direct", direct());
    if (plan_.layers) add_layers(results);
  }

 private:
  void build() {
    build_network(graph_, {plan_.training.net, cell_.norm, plan_.training.width});
    graph_.setup({.batch = cell_.batch_size, .evaluation_batch = 1, .precision = cell_.precision});
    initialize(graph_, Initialization::he, 0);
  }

  Batch like() const {
    Batch batch = images_.like();
    batch.augmentation = {true, 1, 0};
    return batch;
  }

  void step(int samples) {
    const Batch batch = steps_.take(0, samples, samples);
    graph_.enqueue(batch, Graph::Pass::training);
    steps_.add(graph_, batch);
    optimizer_.update(steps_.rates(), steps_.squared_norm());
  }

  void one_step() {
    if (steps_.done() + 1 >= steps_.count()) steps_.rewind();  // the last one may be smaller
    steps_.step([this](int samples) { step(samples); });
  }

  std::vector<double> direct() {
    std::vector<double> seconds;
    for (int round = 0; round < plan_.rounds; ++round) {
      clock_->mark();
      one_step();
      clock_->mark();
      seconds.push_back(clock_->intervals().front());
    }
    return seconds;
  }

  [[nodiscard]] Figure figure_of(const char* section, std::string name, const char* pass,
                                 const Shape& shape) const {
    return {section,        std::move(name), cell_.norm.str(), pass, shape.with_n(cell_.batch_size),
            cell_.precision};
  }

  /// Every layer and phase of a step, in the order of the network.
  void add_layers(DeviceResults& results) {
    Profile profile(1, static_cast<int>(graph_.nodes().size()), backend_.clock());
    const Buffer filler(backend_, plan_.flush_bytes);
    graph_.set_profile(&profile);
    for (int round = 0; round < plan_.rounds; ++round) {
      for (int i = 0; i < kHeadStart; ++i) backend_.clear(filler.data(), filler.bytes());
      one_step();
    }
    graph_.set_profile(nullptr);
    for (int i = Profile::kStep; i < profile.layers(); ++i) {
      const Layer* layer = i == Profile::kStep ? nullptr : graph_.nodes()[as_size(i)].layer.get();
      for (const Phase phase : kPhases) {
        const Work work = work_of(graph_, profile, i, phase, cell_.batch_size, cell_.precision);
        if (work.seconds == 0) continue;
        Figure figure = figure_of("layer", layer == nullptr ? "step" : layer->name(), phase_name(phase),
                                  layer == nullptr ? graph_.sample() : layer->y_shape());
        figure.seconds = work.seconds / plan_.rounds;
        figure.bytes = work.bytes;  // of one step
        figure.flops = work.flops;
        results.figures.push_back(figure);
      }
    }
  }

  const DevicePlan& plan_;
  const Cell& cell_;
  Backend& backend_;
  const Images host_images_;
  DeviceImages images_;
  Graph graph_;
  Optimizer optimizer_;
  Steps steps_;
  std::unique_ptr<DeviceClock> clock_;
};

}  // namespace

void measure_training(const DevicePlan& plan, const Cell& cell, const MakeDevice& make,
                      DeviceResults& results) {
  const std::unique_ptr<Backend> backend = make();
  Trainee(plan, cell, *backend).measure(results);
}

}  // namespace normlab::bench
