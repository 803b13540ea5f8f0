// How fast training is, and how far from the machine's limit. Everything that is compared runs interleaved,
// several rounds, and medians are reported: a shared machine has slow minutes.

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "experiments/common/backends.hpp"
#include "experiments/common/options.hpp"
#include "host/peak.hpp"
#include "layers/philox.hpp"

namespace {

using namespace normlab;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// A network with a batch of noise, ready to train.
struct Subject {
  Subject(const Norm& norm, const std::string& net, double width, int batch_size, int threads,
          DataType precision)
      : backend(make_backend("auto", threads)),
        graph(*backend, {1, 3, 32, 32}),
        values(static_cast<std::size_t>(batch_size) * graph.sample().per_sample()),
        labels(static_cast<std::size_t>(batch_size)) {
    build_network(graph, {net, norm, width});
    graph.setup({.batch = batch_size, .evaluation_batch = batch_size, .precision = precision});
    initialize(graph, Initialization::he, 0);
    optimizer = std::make_unique<Optimizer>(graph, OptimizerOptions{});
    Philox random(0, Purpose::probe);
    for (float& value : values) value = static_cast<float>(random.uniform() * 4 - 2);
    for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(10));
    batch.count = batch_size;
    batch.values = values.data();
    batch.labels = labels.data();
  }

  void train() {
    graph.forward_backward(batch);
    optimizer->step({1e-3, 0.9});
  }

  /// Images a second over at least `seconds`.
  template <typename Step>
  double rate(double seconds, Step&& step) const {
    const auto start = std::chrono::steady_clock::now();
    double elapsed = 0;
    int steps = 0;
    while (elapsed < seconds) {
      step();
      ++steps;
      elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    return steps * batch.count / elapsed;
  }

  std::unique_ptr<Backend> backend;
  Graph graph;
  std::vector<float> values;
  std::vector<std::int32_t> labels;
  Batch batch;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<double> training, evaluation;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Measures the machine's FMA peak and, in the same minute, the training step of a network with each "
      "norm.\n"
      "Percent of peak counts the FLOPs of convolutions and linear layers only (forward and backward).",
      "bench"};
  app.option_defaults()->always_capture_default();
  StudyOptions options;
  int rounds = 7;
  double seconds = 0.5;
  bool summary_only = false, csv = false;
  app.add_option("--norms", options.norms, "Normalizations, separated by commas");
  app.add_option("--net", options.net, "Network: net_a or plain:D");
  app.add_option("--width", options.width, "Multiplies the network's channels");
  app.add_option("--batch-size", options.batch_size, "Images in a step");
  app.add_option("--precision", options.precision, "fp32 or bf16: how activations are stored");
  app.add_option("--threads", options.threads, "Processors to use (0: all)");
  app.add_option("--rounds", rounds, "Interleaved rounds; medians are reported")->check(CLI::PositiveNumber);
  app.add_option("--seconds", seconds, "For each norm and round")->check(CLI::PositiveNumber);
  app.add_flag("--csv", csv, "Print one CSV row for each norm instead of the table");
  app.add_flag("--summary", summary_only,
               "Print the network of each norm, layer by layer, and measure nothing");
  return run_program(app, argc, argv, [&] {
    options.check();
    const int threads = options.total_threads();
    std::vector<std::unique_ptr<Subject>> subjects;
    for (const Norm& norm : options.norm_list()) {
      subjects.push_back(std::make_unique<Subject>(norm, options.net, options.width, options.batch_size,
                                                   threads, parse_precision(options.precision)));
      if (summary_only)
        fmt::print("{} with {}\n{}\n", options.net, norm.str(), summary(subjects.back()->graph));
    }
    if (summary_only) return 0;
    std::vector<double> peaks;
    for (int round = 0; round < rounds; ++round) {
      peaks.push_back(measure_fma_peak(threads));
      for (const auto& subject : subjects) {
        if (round == 0) subject->train();  // warm
        subject->training.push_back(subject->rate(seconds, [&] { subject->train(); }));
        subject->evaluation.push_back(
            subject->rate(seconds / 4, [&] { subject->graph.evaluate(subject->batch); }));
      }
    }
    const double peak = median(peaks);
    if (csv) {
      fmt::print("norm,batch_size,threads,images_per_second,gflops,fma_peak_gflops,evaluated_per_second\n");
    } else {
      fmt::print("{}, {}, batch {}, {}\n", subjects.front()->backend->description(), options.net,
                 options.batch_size, options.precision);
      fmt::print("FMA peak {:.0f} GFLOP/s ({:.0f} to {:.0f}); medians of {} interleaved rounds\n\n", peak,
                 *std::min_element(peaks.begin(), peaks.end()), *std::max_element(peaks.begin(), peaks.end()),
                 rounds);
      fmt::print("{:<15} {:>9} {:>15} {:>9} {:>10} {:>12} {:>8}\n", "norm", "images/s", "(min - max)",
                 "GFLOP/s", "% of peak", "evaluation/s", "MB");
    }
    std::size_t index = 0;
    for (const Norm& norm : options.norm_list()) {
      const Subject& s = *subjects[index++];
      const double rate = median(s.training);
      const double gflops = rate * 2 * training_multiply_adds(s.graph) / 1e9;
      if (csv) {
        fmt::print("{},{},{},{:.9g},{:.9g},{:.9g},{:.9g}\n", norm.str(), options.batch_size, threads, rate,
                   gflops, peak, median(s.evaluation));
        continue;
      }
      fmt::print("{:<15} {:>9.0f} {:>15} {:>9.0f} {:>10.1f} {:>12.0f} {:>8.1f}\n", norm.str(), rate,
                 fmt::format("({:.0f} - {:.0f})", *std::min_element(s.training.begin(), s.training.end()),
                             *std::max_element(s.training.begin(), s.training.end())),
                 gflops, 100 * gflops / peak, median(s.evaluation),
                 static_cast<double>(s.graph.memory_bytes()) / 1e6);
    }
    if (csv) return 0;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    fmt::print("\nMB: what the graph booked; the whole process peaked at {:.0f} MB\n",
               static_cast<double>(usage.ru_maxrss) / 1024);
    return 0;
  });
}
