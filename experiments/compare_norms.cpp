// The main job: the same network, data and recipe with each normalization, over several seeds. What differs
// in the end is what the normalization did. The same seed gives every norm the same initial convolutions,
// order and augmentation, so that differences pair.

#include "experiments/common/study.hpp"

int main(int argc, char** argv) {
  using namespace normlab;
  CLI::App app{
      "Trains a small CNN with each normalization over several seeds and compares their test accuracy.\n"
      "Without options: five norms, three seeds, four epochs on synthetic data, a few minutes on two "
      "cores.\n\n"
      "  compare_norms --data DIR --epochs 8             on CIFAR-10 (see `dataset --help`)\n"
      "  compare_norms --norms bn,gn:2,gn:4,gn:8 --seeds 5\n"
      "  compare_norms --val 5000 --lr 0.05              choose settings on held-out training images\n",
      "compare_norms"};
  StudyOptions options;
  add_study_options(app, options);
  const auto runs = [&] {
    std::vector<RunSpec> all;
    for (const std::uint64_t seed : options.seed_list()) {
      for (const Norm& norm : options.norm_list()) all.push_back(run_of(options, norm, seed));
    }
    return all;
  };
  return run_experiment(app, argc, argv, options,
                        {.runs = runs, .full = {{"--seeds", "5"}, {"--epochs", "20"}}});
}
