#include "tools/bench/device.hpp"

#include "host/record/statistics.hpp"
#include "tools/bench/alone.hpp"
#include "tools/bench/training.hpp"
#include "tools/bench/work.hpp"

namespace normlab::bench {

namespace {

using Action = std::function<void()>;

/// Takes the time of single actions on one device.
class Stopwatch {
 public:
  Stopwatch(Backend& backend, int rounds, std::size_t flush_bytes)
      : backend_(backend), clock_(backend.clock()), rounds_(rounds), flush_(backend, flush_bytes) {
    if (clock_ == nullptr)
      throw Error(
          "{} has no clock of its own: its work is done when a call returns; use bench without --device",
          backend.name());
  }

  /// Seconds of `action` in each round, `before` not counted. One round before these does not count.
  [[nodiscard]] std::vector<double> seconds(const Action& before, const Action& action) {
    for (int round = 0; round <= rounds_; ++round) {
      before();
      clock_->mark();
      action();
      clock_->mark();
    }
    const std::vector<double> between = clock_->intervals();
    std::vector<double> seconds;
    for (std::size_t i = 2; i < between.size(); i += 2) seconds.push_back(between[i]);  // odd ones: `before`
    return seconds;
  }

  /// Nothing of what was used before is left in the device's caches; and the device is busy long enough for
  /// the host to get ahead of it.
  void flush() { backend_.clear(flush_.data(), flush_.bytes()); }

 private:
  Backend& backend_;
  std::unique_ptr<DeviceClock> clock_;
  int rounds_;
  Buffer flush_;
};

void measure_copy(const DevicePlan& plan, Backend& backend, Stopwatch& watch, DeviceResults& results) {
  const int values = static_cast<int>(plan.copy_bytes / 4 / 256);
  const Buffer from(backend, plan.copy_bytes), to(backend, plan.copy_bytes);
  const Shape shape{values, 16, 4, 4};  // as floats: copy_bytes
  const Tensor a{from.data(), shape}, b{to.data(), shape};
  const auto rates = [&](const Action& copy) {
    std::vector<double> all;
    for (const double seconds : watch.seconds([] {}, copy))
      all.push_back(2 * static_cast<double>(plan.copy_bytes) / seconds / 1e9);
    return all;
  };
  results.copy = rates([&] { backend.copy_bytes(from.data(), to.data(), plan.copy_bytes); });
  results.kernel_copy = rates([&] { backend.copy(a, b); });
}

void measure_norms(const DevicePlan& plan, Backend& backend, Stopwatch& watch, DeviceResults& results) {
  for (const DataType type : plan.training.precisions) {
    for (const int batch : plan.training.batch_sizes) {
      for (const Shape& map : plan.maps) {
        if (map.n > 0 && batch != plan.training.batch_sizes.front()) continue;
        const Shape shape = map.with_n(map.n > 0 ? map.n : batch);
        const Map x(backend, shape, type), y(backend, shape, type), source(backend, shape, type);
        const Map dy(backend, shape, type), dx(backend, shape, type);
        const double bytes = static_cast<double>(shape.count() * element_bytes(type));
        for (const Norm& norm : plan.training.norms) {
          if (norm.is_none() || !norm.divides(shape.c)) continue;
          NormAlone alone(backend, norm, x, y, dy, dx);
          const auto add = [&](const char* pass, double maps, const Map& input, const Action& action) {
            Figure figure{"norm", "", norm.str(), pass, shape, type};
            figure.seconds = median(watch.seconds([&] { watch.flush(); }, action));
            figure.warm_seconds = median(watch.seconds(
                [&] {
                  watch.flush();
                  backend.copy(source.tensor(), input.tensor());
                },
                action));
            figure.bytes = maps * bytes;
            results.figures.push_back(figure);
          };
          add("forward", 2, x, [&] { alone.forward(); });
          add("backward", 3, dy, [&] { alone.backward(); });
        }
      }
    }
  }
}

void measure_convolutions(const DevicePlan& plan, Backend& backend, Stopwatch& watch,
                          DeviceResults& results) {
  for (const DataType type : plan.training.precisions) {
    for (const int batch : plan.training.batch_sizes) {
      for (const Convolution& convolution : plan.convolutions) {
        const Shape& x = convolution.x;
        if (x.n > 0 && batch != plan.training.batch_sizes.front()) continue;
        Conv2dSpec spec{x.with_n(x.n > 0 ? x.n : batch), convolution.out_channels, convolution.kernel};
        spec.padding = convolution.kernel / 2;
        spec.type = type;
        const bool is_first = x.c <= 4;
        if (is_first) spec.x_layout = Layout::image;
        spec.needs_dx = !is_first;
        ConvolutionAlone alone(backend, spec);
        const auto add = [&](const char* pass, const Action& action) {
          Figure figure{"convolution",
                        fmt::format("{0}x{0} {1} to {2}", spec.kernel, x.c, spec.out_channels),
                        "",
                        pass,
                        spec.x,
                        type};
          figure.seconds = median(watch.seconds([&] { watch.flush(); }, action));
          figure.bytes = static_cast<double>((spec.x.count() + spec.y().count()) * element_bytes(type));
          figure.flops = alone.flops();
          results.figures.push_back(figure);
        };
        add("forward", [&] { alone.forward(); });
        if (spec.needs_dx) add("backward_data", [&] { alone.backward_data(); });
        add("backward_weights", [&] { alone.backward_weights(); });
      }
    }
  }
}

}  // namespace

DevicePlan DevicePlan::usual() {
  DevicePlan plan;
  plan.maps = {{0, 16, 32, 32}, {0, 32, 32, 32},   {0, 32, 16, 16},   {0, 32, 8, 8},
               {0, 96, 16, 16}, {256, 64, 56, 56}, {64, 256, 14, 14}, {2048, 64, 32, 32}};
  plan.convolutions = {{{0, 3, 32, 32}, 16, 3},  {{0, 16, 32, 32}, 32, 3},   {{0, 32, 32, 32}, 16, 1},
                       {{0, 16, 16, 16}, 32, 3}, {{0, 32, 16, 16}, 32, 3},   {{0, 32, 16, 16}, 16, 1},
                       {{0, 32, 8, 8}, 32, 3},   {{256, 64, 56, 56}, 64, 3}, {{256, 256, 14, 14}, 256, 3}};
  return plan;
}

DeviceResults measure_device(const DevicePlan& plan, const MakeDevice& make) {
  DeviceResults results;
  {
    const std::unique_ptr<Backend> backend = make();
    results.device = backend->description();
    Stopwatch watch(*backend, plan.rounds, plan.flush_bytes);
    measure_copy(plan, *backend, watch, results);
    if (plan.sections.contains("norms")) measure_norms(plan, *backend, watch, results);
    if (plan.sections.contains("convolutions")) measure_convolutions(plan, *backend, watch, results);
  }
  if (plan.sections.contains("training")) {
    for (const Cell& cell : plan.training.cells()) measure_training(plan, cell, make, results);
  }
  return results;
}

}  // namespace normlab::bench
