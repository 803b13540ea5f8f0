#include "host/report/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace normlab {

namespace {

/// "3 seeds"; of two, which have no interval, the values: "2 seeds: 48.00 and 52.00".
std::string seeds_text(const Estimate& accuracy) {
  std::string text = fmt::format("{} seed{}", accuracy.n, accuracy.n == 1 ? "" : "s");
  if (accuracy.n == 2)
    text += fmt::format(": {} and {}", percent_text(accuracy.lowest), percent_text(accuracy.highest));
  return text;
}

bool has_result(const ArmSummary& arm) {
  return arm.final_accuracy.n > 0 && std::isfinite(arm.final_accuracy.mean);
}

/// What the best is held against; nullptr if there is nothing else with the same settings.
const ArmSummary* reference_for(const ArmSummary& best, std::span<const ArmSummary> arms) {
  for (const std::string_view baseline : {"bn", "none"})
    if (const ArmSummary* arm = counterpart(arms, best, baseline);
        arm != nullptr && best.norm != baseline && has_result(*arm))
      return arm;
  const ArmSummary* second = nullptr;
  for (const ArmSummary& arm : arms)
    if (&arm != &best && has_result(arm) && arm.others == best.others &&
        (second == nullptr || arm.final_accuracy.mean > second->final_accuracy.mean))
      second = &arm;
  return second;
}

std::string headline(std::span<const ArmSummary> arms) {
  const ArmSummary* best = best_arm(arms);
  if (best == nullptr) return "No run finished, so there is no final accuracy to compare.";
  const bool with_rates = names_rates(arms);
  const auto at_rate = [&](const ArmSummary& arm, std::string_view before) {
    return with_rates && !arm.lr.empty() && !label_has_rate(arm) ? fmt::format("{}{}", before, arm.lr) : "";
  };
  const std::string name = best->label + at_rate(*best, " at learning rate ");
  const std::string reached =
      fmt::format("{} % {} accuracy after the last epoch ({})", percent_text(best->final_accuracy.mean),
                  words_for_split(best->split), seeds_text(best->final_accuracy));
  const ArmSummary* other = reference_for(*best, arms);
  if (other == nullptr)
    return fmt::format("{} reaches {}; no other norm has finished runs {}to compare it with.", name, reached,
                       arms.size() > 1 ? "of the same settings " : "");
  const Estimate gain = difference(*best, *other);
  if (gain.n == 0)
    return fmt::format(
        "{} ends highest, with {}; it shares no seed with {}, so the difference is not paired.", name,
        reached, other->label);
  const std::string points =
      fmt::format("{:.2f} points {} {}{}", 100 * std::abs(gain.mean), gain.mean < 0 ? "below" : "above",
                  other->label, at_rate(*other, " at "));
  if (gain.n == 1)
    return fmt::format(
        "{} ends highest, with {}, {}; a single pair of runs has no interval and cannot tell this from "
        "chance.",
        name, reached, points);
  if (!gain.has_interval())
    return fmt::format(
        "{} ends highest, with {}, {} (paired by seed: {:+.2f} and {:+.2f}); two pairs of runs have no "
        "interval "
        "and cannot tell this from chance.",
        name, reached, points, 100 * gain.lowest, 100 * gain.highest);
  const Interval interval = gain.interval(bounds_of_accuracy_difference);
  return fmt::format(
      "{} ends highest, with {}, {} (95 % interval of the difference, paired by seed: {:.2f} to {:.2f}){}",
      name, reached, points, 100 * interval.low, 100 * interval.high,
      is_distinguishable(gain) ? "." : ", which cannot be told from no difference.");
}

std::string threshold_sentence(std::span<const ArmSummary> arms) {
  const std::string goal = fmt::format("{:.0f} %", 100 * accuracy_threshold);
  std::vector<const ArmSummary*> reached;
  std::vector<std::string> never;
  for (const ArmSummary& arm : arms) {
    if (arm.epochs_to_threshold.n > 0)
      reached.push_back(&arm);
    else if (arm.finished > 0)
      never.push_back(arm.label);
  }
  if (reached.empty())
    return fmt::format("No norm reaches {} {} accuracy.", goal,
                       arms.empty() ? "test" : words_for_split(arms.front().split));
  // Arms of which every finished run got there come first: an average over the lucky seeds would flatter.
  std::stable_sort(reached.begin(), reached.end(), [](const ArmSummary* a, const ArmSummary* b) {
    const bool all_a = a->epochs_to_threshold.n == a->finished;
    const bool all_b = b->epochs_to_threshold.n == b->finished;
    return all_a != all_b ? all_a : a->epochs_to_threshold.mean < b->epochs_to_threshold.mean;
  });
  const auto epochs = [](const ArmSummary& arm) {
    const Estimate& e = arm.epochs_to_threshold;
    return e.n == arm.runs ? fmt::format("{:.1f}", e.mean)
                           : fmt::format("{:.1f}, only {} of {} runs", e.mean, e.n, arm.runs);
  };
  std::vector<std::string> first, rest;
  for (const ArmSummary* arm : reached) {
    if (epochs(*arm) == epochs(*reached.front()))
      first.push_back(arm->label);
    else
      rest.push_back(fmt::format("{} ({})", arm->label, epochs(*arm)));
  }
  std::string text = fmt::format("{} {} {} first (mean epoch {})", listed(first),
                                 first.size() == 1 ? "reaches" : "reach", goal, epochs(*reached.front()));
  if (!rest.empty()) text += ", then " + listed(rest);
  if (!never.empty()) text += fmt::format("; {} never {}", listed(never), never.size() == 1 ? "does" : "do");
  return text + ".";
}

std::string doubts(std::span<const ArmSummary> arms) {
  const ArmSummary* best = best_arm(arms);
  std::vector<std::string> open, few, broken, apart;
  std::size_t compared = 0;
  for (const ArmSummary& arm : arms) {
    if (arm.diverged > 0)
      broken.push_back(fmt::format("{} diverged in {} of {} runs", arm.label, arm.diverged, arm.runs));
    if (const std::size_t rest = arm.runs - arm.finished - arm.diverged; rest > 0)
      broken.push_back(fmt::format("{} did not finish {} of {} runs", arm.label, rest, arm.runs));
    if (best == nullptr || &arm == best || !has_result(arm)) continue;
    if (arm.others != best->others) {
      apart.push_back(arm.label);
      continue;
    }
    const Estimate gap = difference(*best, arm);
    ++compared;
    if (!gap.has_interval())
      few.push_back(arm.label);
    else if (!is_distinguishable(gap))
      open.push_back(arm.label);
  }
  std::string text;
  if (compared == 0)
    text = "There is nothing to tell apart";
  else if (few.size() == compared)
    text = "With fewer than three pairs of seeds no difference can be told from chance";
  else if (open.empty() && few.empty())
    text = fmt::format("Every other norm is below {} by more than the 95 % interval of the difference",
                       best->label);
  else
    text = fmt::format("Not distinguishable from {} at the 95 % level: {}", best->label, [&] {
      std::vector<std::string> all = open;
      all.insert(all.end(), few.begin(), few.end());
      return listed(all);
    }());
  if (!apart.empty()) text += fmt::format("; not compared, since other settings differ: {}", listed(apart));
  return text + (broken.empty() ? "." : "; " + listed(broken) + ".");
}

std::string without_a_rate(std::span<const ArmSummary> arms) {
  std::vector<std::string> labels;
  for (const ArmSummary& arm : arms)
    if (arm.lr_choice == rate_choice::none_learned) labels.push_back(arm.label);
  if (labels.empty()) return "";
  return fmt::format(
      " No learning rate that was tried for {} did better than guessing: the smallest was taken.",
      listed(labels));
}

}  // namespace

std::string listed(const std::vector<std::string>& parts) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i)
    text += (i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ") + parts[i];
  return text;
}

const ArmSummary* best_arm(std::span<const ArmSummary> arms) {
  const ArmSummary* best = nullptr;
  for (const ArmSummary& arm : arms)
    if (has_result(arm) && (best == nullptr || arm.final_accuracy.mean > best->final_accuracy.mean))
      best = &arm;
  return best;
}

std::string percent_text(double fraction) {
  return std::isnan(fraction) ? "-" : fmt::format("{:.2f}", 100 * fraction);
}

std::array<std::string, 3> verdict(std::span<const ArmSummary> arms) {
  return {headline(arms), threshold_sentence(arms), doubts(arms) + without_a_rate(arms)};
}

}  // namespace normlab
