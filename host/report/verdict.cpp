#include "host/report/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace normlab {

namespace {

std::string seeds_text(std::size_t n) {
  return fmt::format("{} seed{}", n, n == 1 ? "" : "s");
}

bool has_result(const ArmSummary& arm) {
  return arm.final_accuracy.n > 0 && std::isfinite(arm.final_accuracy.mean);
}

/// What the best is held against; nullptr if there is nothing else.
const ArmSummary* reference_for(const ArmSummary& best, std::span<const ArmSummary> arms) {
  for (const std::string_view baseline : {"bn", "none"})
    for (const ArmSummary& arm : arms)
      if (arm.norm == baseline && best.norm != baseline && has_result(arm)) return &arm;
  const ArmSummary* second = nullptr;
  for (const ArmSummary& arm : arms)
    if (&arm != &best && has_result(arm) &&
        (second == nullptr || arm.final_accuracy.mean > second->final_accuracy.mean))
      second = &arm;
  return second;
}

std::string headline(std::span<const ArmSummary> arms) {
  const ArmSummary* best = best_arm(arms);
  if (best == nullptr) return "No run finished, so there is no final accuracy to compare.";
  const std::string reached =
      fmt::format("{} % {} accuracy after the last epoch ({})", percent_text(best->final_accuracy.mean),
                  words_for_split(best->split), seeds_text(best->final_accuracy.n));
  const ArmSummary* other = reference_for(*best, arms);
  if (other == nullptr)
    return fmt::format("{} reaches {}; no other norm has finished runs to compare it with.", best->label,
                       reached);
  const Estimate gain = difference(*best, *other);
  if (gain.n == 0)
    return fmt::format(
        "{} ends highest, with {}; it shares no seed with {}, so the difference is not paired.", best->label,
        reached, other->label);
  const std::string points = fmt::format("{:.2f} points {} {}", 100 * std::abs(gain.mean),
                                         gain.mean < 0 ? "below" : "above", other->label);
  if (gain.n == 1)
    return fmt::format(
        "{} ends highest, with {}, {}; a single pair of runs has no interval and cannot tell this from "
        "chance.",
        best->label, reached, points);
  return fmt::format(
      "{} ends highest, with {}, {} (95 % interval of the difference, paired by seed: {:.2f} to {:.2f}){}",
      best->label, reached, points, 100 * (gain.mean - gain.half_width), 100 * (gain.mean + gain.half_width),
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
  std::vector<std::string> open, single, broken;
  std::size_t compared = 0;
  for (const ArmSummary& arm : arms) {
    if (arm.diverged > 0)
      broken.push_back(fmt::format("{} diverged in {} of {} runs", arm.label, arm.diverged, arm.runs));
    if (const std::size_t rest = arm.runs - arm.finished - arm.diverged; rest > 0)
      broken.push_back(fmt::format("{} did not finish {} of {} runs", arm.label, rest, arm.runs));
    if (best == nullptr || &arm == best || !has_result(arm)) continue;
    const Estimate gap = difference(*best, arm);
    ++compared;
    if (gap.n < 2)
      single.push_back(arm.label);
    else if (!is_distinguishable(gap))
      open.push_back(arm.label);
  }
  std::string text;
  if (compared == 0)
    text = "There is nothing to tell apart";
  else if (single.size() == compared)
    text = "With fewer than two pairs of seeds no difference can be told from chance";
  else if (open.empty() && single.empty())
    text = fmt::format("Every other norm is below {} by more than the 95 % interval of the difference",
                       best->label);
  else
    text = fmt::format("Not distinguishable from {} at the 95 % level: {}", best->label, [&] {
      std::vector<std::string> all = open;
      all.insert(all.end(), single.begin(), single.end());
      return listed(all);
    }());
  return text + (broken.empty() ? "." : "; " + listed(broken) + ".");
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
  return {headline(arms), threshold_sentence(arms), doubts(arms)};
}

}  // namespace normlab
