// The main job: the same network, data and recipe with each normalization, over several seeds. What differs
// in the end is what the normalization did. The same seed gives every norm the same initial convolutions,
// order and augmentation, so that differences pair.

#include <algorithm>

#include "experiments/options/lists.hpp"
#include "experiments/study/study.hpp"

int main(int argc, char** argv) {
  using namespace normlab;
  CommandLine line(
      "compare_norms",
      "Trains a small CNN with each normalization over several seeds and compares their test accuracy.\n"
      "Without options: five norms, three seeds, four epochs on synthetic data, about a minute on two "
      "cores.\n\n"
      "  compare_norms --data DIR --epochs 8             on CIFAR-10 (see `dataset --help`)\n"
      "  compare_norms --norms bn,ln --groups 1,2,4,8,16 --seeds 5\n"
      "  compare_norms --lr auto                         a short test on held-out images finds each norm's\n"
      "  compare_norms --val 5000 --lr 0.05              choose settings on held-out training images\n");
  StudyOptions options;
  std::string groups;
  add_study_options(line, options);
  line.group("What is compared")
      .add("--groups", &groups, "Group norm with each of these numbers of groups, too: 1,2,4,8,16")
      .list();
  const auto runs = [&] {
    std::vector<Norm> norms = *options.norms;
    for (const int g : groups.empty() ? std::vector<int>{} : number_list("--groups", groups)) {
      const Norm norm = Norm::parse(fmt::format("gn:{}", g));
      if (std::find(norms.begin(), norms.end(), norm) == norms.end()) norms.push_back(norm);
    }
    std::vector<RunSpec> all;
    for (const std::uint64_t seed : *options.seeds) {
      for (const Norm& norm : norms) all.push_back(run_of(options, norm, seed));
    }
    return all;
  };
  return run_experiment(line, argc, argv, options,
                        {.runs = runs, .full = {{"--seeds", "5"}, {"--epochs", "20"}}, .finds_lr = true});
}
