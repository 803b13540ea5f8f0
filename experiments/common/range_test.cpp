#include "experiments/common/range_test.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace normlab {

namespace {

constexpr std::array kRates{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0};
constexpr int kEpochs = 2, kTrainingImages = 4000, kHeldOut = 1000;
/// In fewer steps of an epoch a large batch learns too little for its rates to be told apart.
constexpr int kStepsOfAnEpoch = 100;

}  // namespace

RangeTest::RangeTest(const StudyOptions& study, const Dataset& all, std::span<const RunSpec> of)
    : options(study), data(all) {
  const std::int64_t images =
      std::max<std::int64_t>(kTrainingImages, std::int64_t{kStepsOfAnEpoch} * study.batch_size);
  options.limit_train = static_cast<int>(std::min<std::int64_t>(all.train.count, images + kHeldOut));
  options.val = std::min(kHeldOut, options.limit_train / 5);
  options.diagnose = 0;
  options.diagnose_steps.clear();
  options.diagnose_first = options.diagnose_every = options.landscape_every = 0;
  if (options.val < 1)
    throw UsageError("--lr auto: {} training images are too few to hold some out", all.train.count);
  data.train = take(all.train, options.limit_train);
  data.test = {};
  std::vector<Norm> norms;
  for (const RunSpec& run : of) {
    if (std::find(norms.begin(), norms.end(), run.norm) == norms.end()) norms.push_back(run.norm);
  }
  for (const Norm& norm : norms) {
    for (const double lr : kRates) {
      RunSpec run = run_of(options, norm, options.seed_list().front());
      run.lr = lr;
      run.epochs = std::min(options.epochs, kEpochs);
      run.swept = {"lr"};
      runs.push_back(run);
    }
  }
}

std::map<std::string, FoundRate> best_rates(std::span<const RunFigures> runs) {
  struct Best {
    double lr = 0, accuracy = -1;
    std::map<double, std::string> all;
  };
  std::map<std::string, Best> norms;
  for (const Cell& cell : cells_of(runs, "lr", last_of("val.accuracy"))) {
    Best& best = norms[cell.row];
    const double lr = std::strtod(cell.column.c_str(), nullptr);
    best.all[lr] = percent_text(cell) + (cell.value.n > 0 ? " %" : "");
    if (cell.value.n == 0) continue;
    if (cell.value.mean > best.accuracy || (cell.value.mean == best.accuracy && lr < best.lr)) {
      best.lr = lr;
      best.accuracy = cell.value.mean;
    }
  }
  std::map<std::string, FoundRate> found;
  for (const auto& [norm, best] : norms) {
    if (best.accuracy < 0) {
      throw Error(
          "--lr auto: {} diverged at every rate from {} to {}; give a rate with --lr, or clip the "
          "gradient with --clip",
          norm, kRates.front(), kRates.back());
    }
    std::string accuracies;
    for (const auto& [lr, text] : best.all)
      accuracies += fmt::format("{}{} {}", accuracies.empty() ? "" : ", ", lr, text);
    found[norm] = {best.lr, accuracies};
  }
  return found;
}

}  // namespace normlab
