// Does a norm make the loss smoother? Along the gradient at every few steps of training: the range of the
// loss, the range of the change of the gradient, and the effective smoothness beta, for each norm (Santurkar
// et al., "How does batch normalization help optimization?", NeurIPS 2018). experiments/measure/landscape.hpp
// has the definitions.

#include "experiments/study/study.hpp"

int main(int argc, char** argv) {
  using namespace normlab;
  CommandLine line(
      "loss_landscape",
      "Measures the loss landscape along the gradient while a small CNN trains with each normalization:\n"
      "the range of the loss and of the change of the gradient at 0.5 to 4 times the step that the learning\n"
      "rate gives, and the smoothness beta, the largest change for its distance. Training itself stays the\n"
      "same, to the bit.\n"
      "Without options: five norms, one seed, four epochs on synthetic data, every 10th step.\n\n"
      "  loss_landscape --data DIR --epochs 8 --seeds 3     on CIFAR-10 (see `dataset --help`)\n"
      "  loss_landscape --norms none,bn --every 1           every step (11 times as long)\n");
  StudyOptions options;
  options.seeds = "1";
  options.landscape_every = 10;
  add_study_options(line, options);
  line.group("Loss landscape")
      .add("--every", &options.landscape_every,
           "Steps from one measurement to the next; each takes as long as ten steps");
  const auto runs = [&] {
    if (options.landscape_every < 1) throw UsageError("--every: must be at least 1");
    std::vector<RunSpec> all;
    for (const std::uint64_t seed : *options.seeds) {
      for (const Norm& norm : *options.norms) all.push_back(run_of(options, norm, seed));
    }
    return all;
  };
  return run_experiment(line, argc, argv, options,
                        {.runs = runs, .full = {{"--seeds", "3"}, {"--epochs", "20"}}});
}
