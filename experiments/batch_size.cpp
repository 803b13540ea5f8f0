// Batch size: batch norm takes its statistics from the batch, so what happens when that is small? The
// learning rate grows in proportion with the batch (Goyal et al. 2017), the number of epochs stays. Each
// network is tested three times: with running statistics as always, with those of each batch, as in training,
// and with running statistics averaged anew over the training images; only batch norm tells them apart.

#include <cmath>

#include "experiments/options/lists.hpp"
#include "experiments/study/study.hpp"
#include "experiments/study/sweep_table.hpp"
#include "host/record/figure_text.hpp"

namespace {

using namespace normlab;

std::vector<RunSpec> runs_of(const StudyOptions& options, const std::string& batch_sizes) {
  std::vector<RunSpec> runs;
  for (const std::uint64_t seed : *options.seeds) {
    for (const int batch_size : number_list("--batch-sizes", batch_sizes)) {
      for (const Norm& norm : *options.norms) {
        RunSpec run = run_of(options, norm, seed);
        run.lr *= static_cast<double>(batch_size) / options.batch_size;
        run.batch_size = batch_size;
        run.other_statistics = true;
        run.swept = {"batch_size"};
        runs.push_back(run);
      }
    }
  }
  return runs;
}

std::string tables(std::span<const RunFigures> runs) {
  const auto accuracy = [&](const std::string& title, const char* channel) {
    return sweep_table(runs, {title, "batch_size", last_of(channel), percent_text}) + "\n";
  };
  const auto megabytes = [](const RunFigures& figures) { return figures.run.config.number("memory_bytes"); };
  const auto text = [](const Cell& cell) {
    return std::isfinite(cell.value.mean) ? fmt::format("{:.1f}", cell.value.mean / 1e6) : "-";
  };
  return accuracy(fmt::format("final test accuracy %: {}", figure_note), "test.accuracy") +
         accuracy("the same with the statistics of each batch of test images, as in training",
                  "train_mode.accuracy") +
         accuracy("the same with running statistics averaged anew over the training images",
                  "reestimated.accuracy") +
         sweep_table(runs, {"memory of the network in training, MB", "batch_size", megabytes, text});
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line(
      "batch_size",
      "Trains with each norm at each batch size: the learning rate in proportion, the same number of "
      "epochs.\n"
      "Without options: three norms, six batch sizes, about a minute on two cores.\n\n"
      "  batch_size --data DIR --norms bn,gn:4 --batch-sizes 2,8,32 --seeds 5\n"
      "  batch_size --batch-sizes 512 --micro-batch 8    a large batch in the memory of a small one\n");
  StudyOptions options;
  options.norms = "bn,ln,gn:4";
  options.seeds = "1";
  options.epochs = 3;
  std::string batch_sizes = "2,4,8,16,32,128";
  add_study_options(line, options);
  line.group("What is compared")
      .add("--batch-sizes", &batch_sizes,
           "Images in a step, a list; --lr is for --batch-size, at others in proportion")
      .list();
  return run_experiment(line, argc, argv, options,
                        {.runs = [&] { return runs_of(options, batch_sizes); },
                         .full = {{"--norms", "none,bn,ln,gn:4,in"},
                                  {"--batch-sizes", "2,4,8,16,32,64,128,256,512"},
                                  {"--seeds", "3"},
                                  {"--epochs", "10"}},
                         .table = tables});
}
