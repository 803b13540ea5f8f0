#include "experiments/study/range_test.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "host/record/statistics.hpp"

namespace normlab {

namespace {

constexpr std::array<double, RangeTest::rates> kRates{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0};
constexpr std::array kMoreRates{0.0005, 0.001, 0.002, 2.0, 5.0};  // where none of those learns
constexpr int kEpochs = 2, kTrainingImages = 4000, kHeldOut = 1000;
/// In fewer steps of an epoch a large batch learns too little for its rates to be told apart.
constexpr int kStepsOfAnEpoch = 100;

RunSpec run_at(const StudyOptions& options, const Norm& norm, double lr) {
  RunSpec run = run_of(options, norm, options.seeds->front());
  run.lr = lr;
  run.epochs = std::min(options.epochs, kEpochs);
  run.swept = {"lr"};
  return run;
}

/// Of the images, and of those held out so many.
Guess guess_of(const Images& images, int held_out) {
  std::map<std::int32_t, std::int64_t> counts;
  std::int64_t most = 0;
  for (const auto label : images.labels) most = std::max(most, ++counts[label]);
  return {static_cast<double>(most) / static_cast<double>(images.count), held_out};
}

/// The accuracies of a norm, by rate; of runs that diverged none.
std::map<std::string, std::map<double, Cell>> cells_by_norm(std::span<const RunFigures> runs) {
  std::map<std::string, std::map<double, Cell>> norms;
  for (const Cell& cell : cells_of(runs, "lr", last_of("val.accuracy")))
    norms[cell.row].emplace(std::strtod(cell.column.c_str(), nullptr), cell);
  return norms;
}

bool has_learned(const std::map<double, Cell>& rates, const Guess& guess) {
  const double by_chance = guess.highest(rates.size()) + 0.5 / static_cast<double>(guess.images);
  return std::any_of(rates.begin(), rates.end(), [&](const auto& rate) {
    return rate.second.value.n > 0 && rate.second.value.mean > by_chance;
  });
}

}  // namespace

double Guess::highest(std::size_t rates) const {
  constexpr double kChance = 0.01;
  std::int64_t correct = 0;
  while (correct < images &&
         binomial_at_least(correct + 1, images, share) * static_cast<double>(rates) >= kChance)
    ++correct;
  return static_cast<double>(correct) / static_cast<double>(images);
}

RangeTest::RangeTest(const StudyOptions& study, const Dataset& all, std::span<const RunSpec> of)
    : options(study), data(all) {
  const std::int64_t images =
      std::max<std::int64_t>(kTrainingImages, std::int64_t{kStepsOfAnEpoch} * study.batch_size);
  options.limit_train = static_cast<int>(std::min<std::int64_t>(all.train.count, images + kHeldOut));
  options.val = std::min(kHeldOut, options.limit_train / 5);
  options.diagnose = 0;
  options.diagnose_steps = "";
  options.diagnose_first = options.diagnose_every = options.landscape_every = 0;
  if (options.val < 1)
    throw UsageError("--lr auto: {} training images are too few to hold some out", all.train.count);
  data.train = take(all.train, options.limit_train);
  data.test = {};
  guess = guess_of(data.train, options.val);
  std::vector<Norm> norms;
  for (const RunSpec& run : of) {
    if (std::find(norms.begin(), norms.end(), run.norm) == norms.end()) norms.push_back(run.norm);
  }
  for (const Norm& norm : norms)
    for (const double lr : kRates) runs.push_back(run_at(options, norm, lr));
}

std::vector<Norm> RangeTest::without_a_rate(std::span<const RunFigures> all) const {
  // What was widened before, by a study that was then stopped, does not count yet.
  std::vector<RunFigures> of_grid;
  for (const RunFigures& run : all)
    if (std::ranges::count(kRates, run.run.config.number("lr").value_or(0)) > 0) of_grid.push_back(run);
  const auto cells = cells_by_norm(of_grid);
  std::vector<Norm> norms;
  for (const RunSpec& run : runs) {
    if (std::find(norms.begin(), norms.end(), run.norm) != norms.end()) continue;
    const auto found = cells.find(run.norm.str());
    if (found != cells.end() && !has_learned(found->second, guess)) norms.push_back(run.norm);
  }
  return norms;
}

void RangeTest::widen(const std::vector<Norm>& norms) {
  for (const Norm& norm : norms)
    for (const double lr : kMoreRates) runs.push_back(run_at(options, norm, lr));
}

std::map<std::string, FoundRate> best_rates(std::span<const RunFigures> runs, const Guess& guess) {
  std::map<std::string, FoundRate> found;
  for (const auto& [norm, rates] : cells_by_norm(runs)) {
    FoundRate& rate = found[norm];
    rate.learned = has_learned(rates, guess);
    double best = -1;
    for (const auto& [lr, cell] : rates) {
      rate.accuracies += fmt::format("{}{} {}{}", rate.accuracies.empty() ? "" : ", ", lr, percent_text(cell),
                                     cell.value.n > 0 ? " %" : "");
      const bool is_better = rate.learned ? cell.value.mean > best : best < 0;
      if (cell.value.n == 0 || !is_better) continue;
      rate.lr = lr;
      best = cell.value.mean;
    }
    if (best < 0) {
      throw Error(
          "--lr auto: {} diverged at every rate from {} to {}; give a rate with --lr, or clip the "
          "gradient with --clip",
          norm, rates.begin()->first, rates.rbegin()->first);
    }
  }
  return found;
}

std::string rates_text(const std::map<std::string, FoundRate>& found) {
  std::string text = "accuracy on the images held out, by rate:\n";
  for (const auto& [norm, rate] : found)
    text += fmt::format("  {:<15} takes {:<6} {}{}\n", norm, rate.lr,
                        rate.learned ? "" : "(NO RATE LEARNED: the smallest) ", rate.accuracies);
  return text;
}

}  // namespace normlab
