// Learning rate: how far up can it go with each norm, and what is lost on either side of the best? Nothing is
// chosen on the test set: rates are judged on training images that are held out.

#include "experiments/options/lists.hpp"
#include "experiments/study/study.hpp"
#include "experiments/study/sweep_table.hpp"
#include "experiments/study/usable_rate.hpp"
#include "host/record/figure_text.hpp"

namespace {

using namespace normlab;

struct Lists {
  std::string lrs = "0.003,0.01,0.03,0.1,0.3,1,3", widths = "1";
};

std::vector<RunSpec> runs_of(const StudyOptions& options, const Lists& lists) {
  if (options.val < 1) throw UsageError("--val: must be at least 1: rates are judged on images held out");
  std::vector<RunSpec> runs;
  const std::vector<double> widths = real_list("--widths", lists.widths);
  for (const std::uint64_t seed : *options.seeds)
    for (const double width : widths)
      for (const double lr : real_list("--lrs", lists.lrs))
        for (const Norm& norm : *options.norms) {
          RunSpec run = run_of(options, norm, seed);
          run.lr = lr;
          run.width = width;
          run.swept =
              widths.size() > 1 ? std::vector<std::string>{"lr", "width"} : std::vector<std::string>{"lr"};
          runs.push_back(run);
        }
  return runs;
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line(
      "learning_rate",
      "Trains with each norm at each peak learning rate of a grid: which rates work, which diverge.\n"
      "Without options: five norms, seven rates, about a minute on two cores.\n\n"
      "  learning_rate --norms bn,ln --lrs 0.01,0.03,0.1,0.3,1 --widths 0.5,1,2\n"
      "  learning_rate --data DIR --schedule constant --seeds 3\n");
  StudyOptions options;
  options.seeds = "1";
  options.epochs = 3;
  options.val = 2000;
  options.limit_train = 7000;
  Lists lists;
  add_study_options(line, options, {"--lr", "--width"});
  const OptionGroup what = line.group("What is compared");
  what.add("--lrs", &lists.lrs, "Peak learning rates, a list").list();
  what.add("--widths", &lists.widths, "Multiply the network's channels, a list").list();
  const auto table = [&](std::span<const RunFigures> runs) {
    return sweep_table(runs, {fmt::format("accuracy % on held-out training images after the last epoch: {}",
                                          figure_note),
                              "lr", last_of("val.accuracy"), percent_text}) +
           "\n" + usable_rates_text(usable_rates(runs));
  };
  return run_experiment(line, argc, argv, options,
                        {.runs = [&] { return runs_of(options, lists); },
                         .full = {{"--lrs", "0.003,0.01,0.03,0.1,0.3,1,3"},
                                  {"--widths", "0.5,1,2"},
                                  {"--seeds", "3"},
                                  {"--epochs", "5"},
                                  {"--limit-train", "0"}},
                         .table = table});
}
