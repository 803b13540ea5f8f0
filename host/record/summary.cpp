#include "host/record/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "host/record/arms.hpp"
#include "host/record/figure_text.hpp"
#include "host/record/run_identity.hpp"

namespace normlab {

std::string common_value(std::span<const RunResults> runs, std::string_view key) {
  std::string value;
  for (const RunResults& run : runs) {
    const std::string here = run.config.text(key);
    if (!value.empty() && !here.empty() && here != value) return "various";
    if (value.empty()) value = here;
  }
  return value;
}

std::string grouped(std::int64_t number) {
  std::string text;
  const std::string digits = std::to_string(number);
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0 && digits[i - 1] != '-') text += ',';
    text += digits[i];
  }
  return text;
}

bool is_distinguishable(const Estimate& difference) {
  return difference.has_interval() && std::abs(difference.mean) > difference.half_width;
}

Estimate difference(const ArmSummary& a, const ArmSummary& b) {
  std::vector<double> ours, theirs;
  if (a.others != b.others) return estimate(ours);
  for (const auto& [seed, accuracy] : a.accuracies)
    if (const auto found = b.accuracies.find(seed); found != b.accuracies.end()) {
      ours.push_back(accuracy);
      theirs.push_back(found->second);
    }
  return paired_difference(ours, theirs);
}

namespace {

constexpr std::string_view baseline_norm = "bn";

bool is_finished(const RunResults& run) {
  return run.status == "done";
}

std::optional<double> final_accuracy(const RunResults& run, std::string_view split) {
  const EpochResult* last = run.last(split);
  return last == nullptr ? std::nullopt : last->accuracy;
}

/// Final accuracies of the finished runs, by seed.
std::map<std::int64_t, double> accuracies_by_seed(const std::vector<const RunResults*>& runs,
                                                  std::string_view split) {
  std::map<std::int64_t, double> by_seed;
  for (const RunResults* run : runs)
    if (const auto accuracy = final_accuracy(*run, split); accuracy && is_finished(*run))
      by_seed[run->seed] = *accuracy;
  return by_seed;
}

/// The figures of an arm.
void add_figures(ArmSummary& arm, const std::vector<const RunResults*>& runs, std::string_view split) {
  arm.split = split;
  if (const auto parameters = runs.front()->config.number("parameters"))
    arm.parameters = static_cast<std::int64_t>(*parameters);
  arm.accuracies = accuracies_by_seed(runs, split);
  std::vector<double> final_values, best_values, reached, speeds;
  for (const RunResults* run : runs) {
    ++arm.runs;
    if (run->status == "diverged") ++arm.diverged;
    if (!is_finished(*run)) continue;
    ++arm.finished;
    if (const auto accuracy = final_accuracy(*run, split)) final_values.push_back(*accuracy);
    if (const EpochResult* best = run->best(split)) best_values.push_back(*best->accuracy);
    const auto first = std::find_if(run->epochs.begin(), run->epochs.end(), [&](const EpochResult& epoch) {
      return epoch.split == split && epoch.accuracy && *epoch.accuracy >= accuracy_threshold;
    });
    if (first != run->epochs.end()) reached.push_back(first->epoch);
    const auto images = run->config.number("train_images");
    for (const EpochResult& epoch : run->epochs)
      if (images && epoch.split == "train" && epoch.seconds && *epoch.seconds > 0)
        speeds.push_back(*images / *epoch.seconds);
  }
  arm.final_accuracy = estimate(final_values);
  arm.best_accuracy = estimate(best_values);
  arm.epochs_to_threshold = estimate(reached);
  arm.images_per_second = median(speeds);
}

}  // namespace

std::string_view result_split(std::span<const RunResults> runs) {
  const auto is_judged_on_val = [](const RunResults& run) {
    const std::string swept = fmt::format(",{},", run.config.text("swept"));
    return swept.find(",lr,") != std::string::npos && run.config.number("val_images").value_or(0) > 0;
  };
  return !runs.empty() && std::all_of(runs.begin(), runs.end(), is_judged_on_val) ? "val" : "test";
}

std::string_view words_for_split(std::string_view split) {
  return split == "val" ? "held-out" : split;
}

std::vector<ArmSummary> summarize(std::span<const RunResults> runs) {
  const std::string_view split = result_split(runs);
  std::vector<ArmSummary> arms;
  for (const ArmRuns& of_arm : arms_of(runs)) {
    ArmSummary& arm = arms.emplace_back();
    arm.arm = of_arm.name;
    arm.norm = of_arm.norm;
    arm.label = of_arm.label;
    arm.lr = of_arm.lr;
    arm.sweeps_lr = of_arm.sweeps_lr;
    arm.lr_choice = of_arm.named->config.text("lr_choice");
    arm.setting = text_of(of_arm.setting);
    arm.others = text_of(of_arm.others);
    arm.members = of_arm.runs;
    std::vector<const RunResults*> members;
    for (const std::size_t i : of_arm.runs) {
      members.push_back(&runs[i]);
      arm.studies.insert(runs[i].path.parent_path());
    }
    add_figures(arm, members, split);
  }
  for (ArmSummary& arm : arms)
    if (const ArmSummary* baseline = counterpart(arms, arm, baseline_norm);
        baseline != nullptr && arm.norm != baseline_norm)
      arm.to_baseline = difference(arm, *baseline);
  // Where all sweep it, the rate is the setting that each row is named by.
  const bool is_said =
      std::all_of(arms.begin(), arms.end(), [&](const ArmSummary& arm) { return arm.sweeps_lr; }) &&
      std::any_of(arms.begin(), arms.end(),
                  [&](const ArmSummary& arm) { return arm.setting != arms.front().setting; });
  for (ArmSummary& arm : arms)
    if (is_said) arm.lr.clear();
  return arms;
}

const ArmSummary* counterpart(std::span<const ArmSummary> arms, const ArmSummary& arm,
                              std::string_view norm) {
  std::vector<const ArmSummary*> found, of_its_rate, of_its_study;
  for (const ArmSummary& other : arms) {
    // In a sweep of rates each has its partner at its own.
    if (other.norm != norm || other.others != arm.others || (arm.sweeps_lr && other.lr != arm.lr)) continue;
    found.push_back(&other);
    if (other.lr == arm.lr) of_its_rate.push_back(&other);
    if (std::any_of(other.studies.begin(), other.studies.end(),
                    [&](const auto& study) { return arm.studies.contains(study); }))
      of_its_study.push_back(&other);
  }
  for (const auto& candidates : {found, of_its_rate, of_its_study})
    if (candidates.size() == 1) return candidates.front();
  return nullptr;
}

bool names_rates(std::span<const ArmSummary> arms) {
  return std::any_of(arms.begin(), arms.end(), [&](const ArmSummary& arm) {
    return arm.lr != arms.front().lr || arm.lr_choice == rate_choice::none_learned;
  });
}

bool label_has_rate(const ArmSummary& arm) {
  return arm.label.ends_with(" lr=" + arm.lr);
}

std::string choice_of_rates(std::span<const ArmSummary> arms) {
  const std::pair<std::string_view, std::string_view> ways[]{
      {rate_choice::built_in, "the built-in default, found on held-out images of the synthetic set"},
      {rate_choice::given, "as given"},
      {rate_choice::found, "found by --lr auto on training images held out"},
      {rate_choice::none_learned, "the smallest that --lr auto tried, since none learned"}};
  const auto name_of = [&](const ArmSummary& arm) {
    const bool is_of_its_norm = std::all_of(arms.begin(), arms.end(), [&](const ArmSummary& other) {
      return other.norm != arm.norm || other.lr_choice == arm.lr_choice;
    });
    return is_of_its_norm && !arm.norm.empty() ? arm.norm : arm.label;
  };
  std::vector<std::string> parts;
  for (const auto& [choice, words] : ways) {
    std::vector<std::string> names;
    std::size_t chosen = 0;
    for (const ArmSummary& arm : arms) {
      if (arm.lr_choice != choice) continue;
      ++chosen;
      if (std::string name = name_of(arm); std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    }
    if (chosen == 0) continue;
    parts.push_back(chosen == arms.size() ? std::string(words)
                                          : fmt::format("{} ({})", words, fmt::join(names, ", ")));
  }
  const bool by_batch = std::any_of(arms.begin(), arms.end(), [](const ArmSummary& arm) {
    return arm.setting.find("batch_size=") != std::string::npos;
  });
  return fmt::format("{}{}", fmt::join(parts, "; "),
                     by_batch && !parts.empty() ? ", in proportion to the batch size" : "");
}

}  // namespace normlab
