#include "host/record/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "host/record/figure_text.hpp"
#include "host/record/run_identity.hpp"
#include "host/record/summary.hpp"
#include "host/record/text_layout.hpp"

namespace normlab {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using Arm = std::map<std::int64_t, const RunResults*>;  // by seed

struct Study {
  std::vector<std::string> order;
  std::map<std::string, Arm> arms;
};

Study study_of(std::span<const RunResults> runs) {
  Study study;
  for (const RunResults& run : runs) {
    if (study.arms.count(run.arm) == 0) study.order.push_back(run.arm);
    study.arms[run.arm][run.seed] = &run;
  }
  return study;
}

struct Pair {
  const RunResults *a, *b;
};

double accuracy_of(const RunResults& run) {
  const EpochResult* last = run.last("test");
  return last != nullptr && last->accuracy ? *last->accuracy : nan;
}

double loss_of(const RunResults& run) {
  const EpochResult* last = run.last("test");
  return last != nullptr && last->loss ? *last->loss : nan;
}

double speed_of(const RunResults& run) {
  const auto images = run.config.number("train_images");
  std::vector<double> speeds;
  for (const EpochResult& epoch : run.epochs) {
    if (images && epoch.split == "train" && epoch.seconds && *epoch.seconds > 0)
      speeds.push_back(*images / *epoch.seconds);
  }
  return median(speeds);
}

PairedFigure paired(const std::vector<Pair>& pairs, double (*figure)(const RunResults&)) {
  std::vector<double> a, b;
  for (const Pair& pair : pairs) {
    const double x = figure(*pair.a), y = figure(*pair.b);
    if (std::isnan(x) || std::isnan(y)) continue;
    a.push_back(x);
    b.push_back(y);
  }
  return {estimate(a), estimate(b), paired_difference(b, a)};
}

/// "seed 3", "seeds 0, 1, 2".
std::string seeds_text(const std::vector<std::int64_t>& seeds) {
  return fmt::format("seed{} {}", seeds.size() == 1 ? "" : "s", fmt::join(seeds, ", "));
}

/// The pairs of one arm; what has no partner, or did not finish, goes to `left_out`.
std::vector<Pair> pair_arm(const std::string& arm, const Arm& a, const Arm& b,
                           std::vector<std::string>& left_out) {
  std::vector<Pair> pairs;
  std::vector<std::int64_t> only_a, only_b;
  for (const auto& [seed, run] : a) {
    const auto partner = b.find(seed);
    if (partner == b.end()) {
      only_a.push_back(seed);
      continue;
    }
    bool finished = true;
    for (const auto& [side, one] : {std::pair("A", run), std::pair("B", partner->second)}) {
      if (one->status == "done") continue;
      left_out.push_back(fmt::format("{} seed {}: {} in {}.", arm, seed,
                                     one->status == "interrupted" ? "unfinished" : one->status, side));
      finished = false;
    }
    if (finished) pairs.push_back({run, partner->second});
  }
  for (const auto& [seed, run] : b) {
    if (a.count(seed) == 0) only_b.push_back(seed);
  }
  if (!only_a.empty()) left_out.push_back(fmt::format("{} {}: only in A.", arm, seeds_text(only_a)));
  if (!only_b.empty()) left_out.push_back(fmt::format("{} {}: only in B.", arm, seeds_text(only_b)));
  return pairs;
}

/// One value where all arms agree, else "bn 0.1, none 0.02".
std::string values_text(const std::map<std::string, std::string>& by_arm,
                        const std::vector<std::string>& order) {
  std::set<std::string> distinct;
  for (const auto& [arm, value] : by_arm) distinct.insert(value);
  if (distinct.size() == 1) return *distinct.begin();
  std::string text;
  for (const std::string& arm : order) {
    const auto found = by_arm.find(arm);
    if (found != by_arm.end()) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", arm, found->second);
  }
  return text;
}

/// Keys of the configurations that differ within a pair, in the order of the first run.
void compare_settings(const std::map<std::string, std::vector<Pair>>& pairs,
                      const std::vector<std::string>& order, Comparison& comparison) {
  const std::set<std::string> identity{"command", "norm", "seed"};
  std::vector<std::string> keys;
  std::set<std::string> seen = identity;
  for (const std::string& arm : order) {
    const auto found = pairs.find(arm);
    if (found == pairs.end()) continue;
    for (const Pair& pair : found->second)
      for (const RunResults* run : {pair.a, pair.b})
        for (const ConfigEntry& entry : run->config.entries())
          if (seen.insert(entry.key).second) keys.push_back(entry.key);
  }
  for (const std::string& key : keys) {
    const auto value = [&](const RunResults& run) {
      return run.config.find(key) == nullptr ? std::string("(none)") : run.config.text(key);
    };
    std::map<std::string, std::string> a, b;
    for (const auto& [arm, of_arm] : pairs) {
      for (const Pair& pair : of_arm) {
        if (value(*pair.a) == value(*pair.b)) continue;
        const bool are_both_said = pair.a->config.find(key) != nullptr && pair.b->config.find(key) != nullptr;
        if (key == "lr_choice" && !are_both_said) continue;  // older versions did not record it
        a.try_emplace(arm, value(*pair.a));
        b.try_emplace(arm, value(*pair.b));
      }
    }
    if (a.empty()) continue;
    auto& list = is_circumstance(key) ? comparison.circumstances : comparison.settings;
    list.push_back({key, values_text(a, order), values_text(b, order)});
  }
}

// --- As text ---------------------------------------------------------------------------------------------

struct Table {
  const char* title;
  PairedFigure ArmComparison::*figure;
  FigureStyle value, difference;
};

const Table tables[]{{"test accuracy %", &ArmComparison::accuracy, accuracy_style, accuracy_difference_style},
                     {"test loss", &ArmComparison::loss, {1, 4, not_negative}, {1, 4, {}, true}},
                     {"images/s", &ArmComparison::speed, {1, 0, not_negative}, {1, 0, {}, true}}};

std::string text_of(const Table& table, const Comparison& comparison) {
  std::vector<TextColumn> columns{{table.title, true, {}},
                                  {"pairs", false, {}, 1},
                                  {"A", false, {}},
                                  {"B", false, {}},
                                  {"B minus A  ", false, {}}};
  for (const ArmComparison& arm : comparison.arms) {
    const PairedFigure& figure = arm.*table.figure;
    if (figure.difference.n == 0) continue;
    columns[0].cells.push_back(arm.arm);
    columns[1].cells.push_back(std::to_string(figure.difference.n));
    columns[2].cells.push_back(figure_text(figure.a, table.value));
    columns[3].cells.push_back(figure_text(figure.b, table.value));
    columns[4].cells.push_back(figure_text(figure.difference, table.difference) +
                               (is_distinguishable(figure.difference) ? "  " : " ?"));
  }
  return columns[0].cells.empty() ? "" : text_table(std::move(columns)).text + "\n";
}

std::string differences_text(const char* title, const std::vector<ConfigDifference>& differences) {
  if (differences.empty()) return "";
  std::string text = fmt::format("{}\n", title);
  for (const ConfigDifference& one : differences)
    text += wrapped(fmt::format("  {:<16} A {}; B {}", one.key, one.a, one.b), 4);
  return text;
}

}  // namespace

Comparison compare(std::span<const RunResults> a, std::span<const RunResults> b) {
  const Study first = study_of(a), second = study_of(b);
  Comparison comparison;
  std::map<std::string, std::vector<Pair>> pairs;
  for (const std::string& arm : first.order) {
    const auto partner = second.arms.find(arm);
    if (partner == second.arms.end()) {
      comparison.left_out.push_back(fmt::format("{}: only in A.", arm));
      continue;
    }
    std::vector<Pair> of_arm = pair_arm(arm, first.arms.at(arm), partner->second, comparison.left_out);
    if (of_arm.empty()) continue;
    comparison.arms.push_back(
        {arm, paired(of_arm, accuracy_of), paired(of_arm, loss_of), paired(of_arm, speed_of)});
    pairs[arm] = std::move(of_arm);
  }
  for (const std::string& arm : second.order) {
    if (first.arms.count(arm) == 0) comparison.left_out.push_back(fmt::format("{}: only in B.", arm));
  }
  compare_settings(pairs, first.order, comparison);
  return comparison;
}

std::string comparison_text(const Comparison& comparison, const std::string& name_of_a,
                            const std::string& name_of_b) {
  std::string text = fmt::format("A  {}\nB  {}\n\n", name_of_a, name_of_b);
  for (const Table& table : tables) text += text_of(table, comparison);
  if (comparison.arms.empty()) {
    text += "Nothing can be compared: no norm and seed finished in both studies.\n";
  } else {
    text += wrapped(
        "Training images/s, and test accuracy and loss after the last epoch: means over the seeds that "
        "finished in both, ± half of the 95 % t-interval, or [that interval] where "
        "it "
        "would go where no value can be; of one or two seeds the values. B minus A is paired by seed. ? = "
        "not "
        "distinguishable: the interval contains 0, or there is none.",
        0);
  }
  text += differences_text("They differ in:", comparison.settings);
  if (!comparison.arms.empty() && comparison.settings.empty()) text += "Their configurations are the same.\n";
  text += differences_text("and in how they were run:", comparison.circumstances);
  const auto other_data = [](const ConfigDifference& one) {
    return one.key == "data_digest" || one.key == "test_images";
  };
  if (std::any_of(comparison.settings.begin(), comparison.settings.end(), other_data))
    text +=
        wrapped("Their images are not the same: accuracies on other images say little about the rest.", 0);
  if (!comparison.left_out.empty()) text += "Not compared:\n";
  for (const std::string& sentence : comparison.left_out) text += "  " + sentence + "\n";
  return text;
}

}  // namespace normlab
