// Do gradients vanish, and what does a norm change? A deep chain of convolutions with each norm: the gradient
// of each layer's parameters and of the loss at each block's output, step by step at first and then now and
// then, and how activations are distributed before and after the norm.

#include "experiments/study/study.hpp"

int main(int argc, char** argv) {
  using namespace normlab;
  CommandLine line(
      "gradient_flow",
      "Follows the gradient through a deep network without shortcuts while it trains with each "
      "normalization:\n"
      "of each layer's parameters and at each block's output, and the distribution of activations before "
      "and\n"
      "after the norm.\n"
      "Without options: plain:10, five norms, one seed, two epochs on synthetic data.\n\n"
      "  gradient_flow --net plain:20 --norms none,bn          deeper\n"
      "  gradient_flow --net net_a --data DIR --seeds 3        another network, on CIFAR-10\n"
      "  gradient_flow --init xavier --clip 1                  what else keeps gradients alive\n");
  StudyOptions options;
  options.net = "plain:10";
  options.seeds = "1";
  options.epochs = 2;
  options.diagnose_first = 20;
  options.diagnose_every = 25;
  add_study_options(line, options);
  const OptionGroup flow = line.group("Gradient flow");
  flow.add("--first", &options.diagnose_first, "Look at each of the first so many steps");
  flow.add("--every", &options.diagnose_every, "Then at every so many (0: at the end of epochs only)");
  const auto runs = [&] {
    if (options.diagnose_first < 0) throw UsageError("--first: must not be negative");
    if (options.diagnose_every < 0) throw UsageError("--every: must not be negative");
    std::vector<RunSpec> all;
    for (const std::uint64_t seed : *options.seeds) {
      for (const Norm& norm : *options.norms) all.push_back(run_of(options, norm, seed));
    }
    return all;
  };
  return run_experiment(
      line, argc, argv, options,
      {.runs = runs, .full = {{"--seeds", "3"}, {"--epochs", "20"}, {"--net", "plain:20"}}});
}
