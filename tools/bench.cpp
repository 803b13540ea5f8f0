// How fast training is, and how far from the machine's limit. Everything that is compared runs interleaved,
// several rounds, and medians are reported: a shared machine has slow minutes.

#include "experiments/options/command_line.hpp"
#include "experiments/options/lists.hpp"
#include "experiments/options/options.hpp"
#include "experiments/training/run_spec.hpp"

#include "host/cpu/limits.hpp"
#include "host/system/output.hpp"
#include "tools/bench/device.hpp"
#include "tools/bench/tables.hpp"

namespace {

using namespace normlab;

constexpr const char* kDescription =
    R"(Measures how fast networks train and evaluate, beside the machine's limits in the same minutes: the peak of
fused multiply-adds, and the bandwidth of a[i] = b[i] + s c[i] in the cores' second-level caches and in main
memory. Every combination of --norms, --batch-size and --threads takes its turn in every round; ratios are
medians of the rounds' ratios.

Percent of peak counts the FLOPs of convolutions and linear layers only (forward and backward).

--layers runs as long again with a clock in the workers. Times are those of one thread for one image, so that
they add up to threads x the time of a step. "bwd data" is the way back to a layer's input, "bwd weights" to
its parameters. Norms and ReLUs count the bytes that they cannot do without, in percent of the cache's
bandwidth: forward reads x and writes y, 2 maps; backward reads x and dy and writes dx, 3 maps. (Batch norm
moves up to 3 and 7, since it waits for the whole batch's statistics: its percentage is lower for that.) Of the
phases, "data" decodes images (without augmentation), "prepare" packs weights, "reduce" adds up gradients,
losses and a batch's statistics, and "wait" is the time in which threads had nothing to do.

--device cuda measures a GPU instead, by its own clock (events in its work): each norm's forward and backward
kernels alone, on maps of NetA and larger ones, in GB/s and percent of what a copy reaches in the same run, with
nothing in the L2 cache and with the input just written; convolutions in TFLOP/s; training. --sections says which
of these. There --layers adds a table of one training step, layer by layer, which needs no profiler. --threads and
--seconds mean nothing there.)";

std::vector<int> positive_list(const std::string& option, const std::string& text) {
  std::vector<int> list = number_list(option, text);
  for (const int value : list) {
    if (value < 1) throw UsageError("{}: must be at least 1, got {}", option, value);
  }
  return list;
}

std::vector<DataType> precision_list(const std::string& text) {
  std::vector<DataType> list;
  for (const std::string& name : word_list("--precision", text)) list.push_back(parse_precision(name));
  return list;
}

std::set<std::string> section_set(const std::string& text) {
  std::set<std::string> sections;
  for (const std::string& name : word_list("--sections", text)) {
    if (name != "norms" && name != "convolutions" && name != "training")
      throw UsageError("--sections: unknown '{}'; choose from norms, convolutions, training", name);
    sections.insert(name);
  }
  return sections;
}

std::vector<int> thread_list(const std::string& text) {
  return split_list(text) == std::vector<std::string>{"0"} ? std::vector<int>{available_threads()}
                                                           : positive_list("--threads", text);
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line("bench", kDescription);
  StudyOptions options;
  std::string batch_sizes = "32", threads = "0", precisions = "fp32";
  int rounds = 7;
  double seconds = 0.5;
  std::string sections = "norms,convolutions,training";
  bool summary_only = false, csv = false, layers = false;
  const OptionGroup what = line.group("What is measured");
  what.add("--device", &options.device, "cpu or cuda; auto is the CPU");
  what.add("--sections", &sections, "With --device cuda: norms, convolutions, training").list();
  what.add("--norms", &options.norms, "Normalizations, separated by commas").list();
  what.add("--net", &options.net, net_help());
  what.add("--width", &options.width, "Multiplies the network's channels");
  what.add("--batch-size", &batch_sizes, "Images in a step; several separated by commas: 16,128,512").list();
  what.add("--threads", &threads,
           "Processors to use (0: all); several separated by commas are compared with the fewest: 1,2")
      .list();
  what.add("--precision", &precisions, "Storage of activations: fp32, bf16, or both separated by a comma")
      .list();
  what.add("--bn", &options.bn, "With --device cuda: batch norm by own kernels (own) or by cudnn");
  what.add("--conv", &options.conv,
           "Convolutions on the CPU: auto (the fastest), or direct (by the definition)");
  what.flag("--layers", &layers, "Also the time by layer and by phase");
  const OptionGroup how = line.group("How");
  how.add("--rounds", &rounds, "Interleaved rounds; medians are reported").within(1, 10'000);
  how.add("--seconds", &seconds, "For each combination and round").within(0.001, 3600.0);
  how.flag("--csv", &csv,
           "Print a CSV row for each combination instead of tables; with --layers one for each\n"
           "combination, layer and phase");
  how.flag("--summary", &summary_only, "Print the network of each norm, layer by layer, and measure nothing");
  return line.run(argc, argv, [&] {
    const std::set<std::string> wanted = section_set(sections);
    const bench::Plan plan{*options.net,         options.width,
                           *options.norms,       positive_list("--batch-size", batch_sizes),
                           thread_list(threads), precision_list(precisions),
                           *options.conv};
    for (const DataType precision : plan.precisions) {
      options.precision = precision_name(precision);
      options.check();
    }
    for (const int count : plan.threads) {
      options.threads = count;
      options.check();
    }
    std::vector<RunSpec> runs;
    for (const Norm& norm : plan.norms) runs.push_back(run_of(options, norm, 0));
    check_runs(options, runs);
    if (summary_only) {
      for (const Norm& norm : plan.norms) {
        const bench::Subject subject(plan, {norm, plan.batch_sizes.front(), 1},
                                     make_backend("cpu", 1, options.device_choices()));
        say("{} with {}\n{}\n", plan.net.str(), norm.str(), summary(subject.graph));
      }
      return 0;
    }
    if (options.device == "cuda") {
      bench::DevicePlan device = bench::DevicePlan::usual();
      device.training = plan;
      device.sections = wanted;
      device.layers = layers;
      device.rounds = rounds;
      const bench::DeviceResults results =
          bench::measure_device(device, [&] { return make_backend("cuda", 1, options.device_choices()); });
      say("{}", csv ? bench::device_csv(results) : bench::device_tables(results));
      return 0;
    }
    const bench::Results results = bench::measure(plan, rounds, seconds, layers);
    csv ? say_error_text(bench::notes(results)) : say_text(bench::notes(results));
    if (csv) {
      say("{}", layers ? bench::layer_csv(results) : bench::cell_csv(results));
      return 0;
    }
    say("{}{}\nMB: what the graph booked; the whole process peaked at {:.0f} MB\n", bench::heading(results),
        bench::cell_table(results), results.process_megabytes);
    if (layers) say("\n{}", bench::layer_tables(results));
    return 0;
  });
}
