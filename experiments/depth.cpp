// Depth: which of the plain networks train at all? Without residual connections gradients vanish or explode
// with depth unless something holds them: the initialization, clipping, or a norm.

#include "experiments/options/lists.hpp"
#include "experiments/study/study.hpp"
#include "experiments/study/sweep_table.hpp"
#include "host/record/figure_text.hpp"

namespace {

using namespace normlab;

struct Lists {
  std::string depths = "5,10,20,40", inits = "he,torch", clips = "0,1";
};

std::vector<RunSpec> runs_of(const StudyOptions& options, const Lists& lists) {
  std::vector<RunSpec> runs;
  for (const std::uint64_t seed : *options.seeds)
    for (const int depth : number_list("--depths", lists.depths))
      for (const std::string& init : word_list("--inits", lists.inits))
        for (const double clip : real_list("--clips", lists.clips))
          for (const Norm& norm : *options.norms) {
            RunSpec run = run_of(options, norm, seed);
            run.net = fmt::format("plain:{}", depth);
            run.init = init;
            run.clip = clip;
            run.swept = {"depth", "init", "clip"};
            runs.push_back(run);
          }
  return runs;
}

/// A network that got nowhere is below twice what guessing gives.
std::string text(const Cell& cell) {
  constexpr double kGuessing = 0.1;
  return percent_text(cell) + (cell.value.n > 0 && cell.value.mean < 2 * kGuessing ? " x" : "  ");
}

std::string table(std::span<const RunFigures> runs) {
  return sweep_table(
      runs, {fmt::format("final test accuracy %; x = did not train (below 20 %): {}", figure_note), "depth",
             last_of("test.accuracy"), text});
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line(
      "depth",
      "Trains plain:D (D blocks of 3x3 convolution, norm, ReLU) with each norm, depth D, initialization and\n"
      "gradient clipping: which of them train at all? Without options: about a minute on two cores.\n\n"
      "  depth --norms none,bn --depths 40 --inits he,lecun,xavier,torch,orthogonal --clips 0\n"
      "  depth --data DIR --depths 10,20,30 --clips 0,0.1,1 --seeds 3\n");
  StudyOptions options;
  options.norms = "none,bn,gn:4";
  options.seeds = "1";
  options.epochs = 2;
  options.limit_train = 4000;
  Lists lists;
  add_study_options(line, options, {"--net", "--init", "--clip"});
  const OptionGroup what = line.group("What is compared");
  what.add("--depths", &lists.depths, "Blocks of the network, a list").list();
  what.add("--inits", &lists.inits, "he, lecun, xavier, torch (PyTorch's default), orthogonal: a list")
      .list();
  what.add("--clips", &lists.clips, "Largest norm of the whole gradient, a list (0: no clipping)").list();
  return run_experiment(line, argc, argv, options,
                        {.runs = [&] { return runs_of(options, lists); },
                         .full = {{"--norms", "none,bn,ln,gn:4,in"},
                                  {"--inits", "he,torch,orthogonal"},
                                  {"--clips", "0,1"},
                                  {"--seeds", "3"},
                                  {"--epochs", "5"},
                                  {"--limit-train", "0"}},
                         .table = table});
}
