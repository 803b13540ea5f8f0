#include "host/report/sweep_verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "host/report/verdict.hpp"

namespace normlab {

namespace {

bool has_result(const ArmView& arm) {
  return arm.summary.final_accuracy.n > 0 && std::isfinite(arm.summary.final_accuracy.mean);
}

bool all_finished(const ArmView& arm) {
  return arm.summary.runs > 0 && arm.summary.finished == arm.summary.runs;
}

double mean_of(const ArmView& arm) {
  return arm.summary.final_accuracy.mean;
}

/// "8", "8, he".
std::string values_text(const Sweep& sweep, const std::vector<double>& values) {
  std::vector<std::string> parts;
  for (const double x : values)
    for (const Tic& tic : sweep.tics)
      if (tic.at == x) parts.push_back(tic.text);
  return listed(parts);
}

/// What is said of each panel, with the settings it holds for before it; what holds for several is said once.
std::vector<std::string> sentences_of(const Sweep& sweep, const std::vector<std::string>& said) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<std::string>> settings;
  for (std::size_t i = 0; i < said.size(); ++i) {
    if (said[i].empty()) continue;
    if (!settings.contains(said[i])) order.push_back(said[i]);
    settings[said[i]].push_back(sweep.panels[i].setting);
  }
  std::vector<std::string> sentences;
  for (const std::string& text : order) {
    const auto& where = settings[text];
    if (sweep.panels.size() == 1)
      sentences.push_back(text + ".");
    else if (where.size() == sweep.panels.size())
      sentences.push_back(fmt::format("At every setting: {}.", text));
    else
      sentences.push_back(fmt::format("{}: {}.", fmt::join(where, "; "), text));
  }
  // Norms and settings keep their names as they are.
  for (const std::string_view word : {"from ", "largest "})
    for (std::string& sentence : sentences)
      if (sentence.starts_with(word)) sentence[0] = static_cast<char>(sentence[0] - 'a' + 'A');
  return sentences;
}

std::string highest_of(const StudyView& study, const Sweep& sweep) {
  const bool with_rates = names_rates(summaries_of(study));
  const ArmView* best = nullptr;
  std::string where;
  for (const SweepPanel& panel : sweep.panels)
    for (const SweepLine& line : panel.lines)
      for (const SweepPoint& point : line.points)
        if (has_result(*point.arm) && (best == nullptr || mean_of(*point.arm) > mean_of(*best))) {
          best = point.arm;
          where =
              fmt::format("{} at {}{}{}{}", line.norm, sweep.at(point.x), panel.setting.empty() ? "" : ", ",
                          panel.setting, with_rates ? ", learning rate " + best->summary.lr : "");
        }
  if (best == nullptr) return "No run finished, so there is no final accuracy to compare.";
  return fmt::format("Highest of all is {}, with {} % {} accuracy after the last epoch ({} seed{}).", where,
                     percent_text(mean_of(*best)), words_for_split(best->summary.split),
                     best->summary.final_accuracy.n, best->summary.final_accuracy.n == 1 ? "" : "s");
}

const SweepLine* line_of(const SweepPanel& panel, std::string_view norm) {
  for (const SweepLine& line : panel.lines)
    if (line.norm == norm) return &line;
  return nullptr;
}

/// What bn is held against: the first norm that knows no other samples, gn before ln, in and rms.
const SweepLine* per_sample_line(const SweepPanel& panel) {
  for (const std::string_view family : {"gn", "ln", "in", "rms"})
    for (const SweepLine& line : panel.lines)
      if (line.norm.starts_with(family)) return &line;
  return nullptr;
}

/// Where bn is below and above a norm that knows no other samples.
std::string batch_sentence(const Sweep& sweep, const SweepPanel& panel) {
  const SweepLine* bn = line_of(panel, "bn");
  const SweepLine* other = per_sample_line(panel);
  if (bn == nullptr || other == nullptr) return "";
  std::vector<double> below, open, above;
  std::string most;
  double largest = 0;
  std::size_t pairs = 0;
  for (const SweepPoint& point : bn->points)
    if (const ArmView* theirs = other->at(point.x); theirs != nullptr)
      pairs = std::max(pairs, difference(point.arm->summary, theirs->summary).n);
  const bool any_interval = pairs >= fewest_for_interval;
  for (const SweepPoint& point : bn->points) {
    const ArmView* theirs = other->at(point.x);
    if (theirs == nullptr || !has_result(*point.arm) || !has_result(*theirs)) continue;
    const Estimate gap = difference(point.arm->summary, theirs->summary);
    const bool is_open = any_interval ? !is_distinguishable(gap) : gap.n == 0;
    (is_open ? open : gap.mean < 0 ? below : above).push_back(point.x);
    if (!is_open && gap.mean < largest) {
      largest = gap.mean;
      most = fmt::format(" (most at {}: {} against {} %)", values_text(sweep, {point.x}),
                         percent_text(mean_of(*point.arm)), percent_text(mean_of(*theirs)));
    }
  }
  std::vector<std::string> parts;
  const auto add = [&](std::string_view how, const std::vector<double>& where, const std::string& more) {
    if (where.empty()) return;
    const bool first = parts.empty();
    parts.push_back(fmt::format("{} {} at {}{}{}", how, first ? other->norm : "it",
                                first ? sweep.axis + " " : "", values_text(sweep, where), more));
  };
  add("below", below, most);
  add("above", above, "");
  add("not distinguishable from", open, "");
  if (parts.empty()) return "";
  return "bn is " + listed(parts) +
         (any_interval
              ? ""
              : fmt::format(" (of {}, so this may be chance)", pairs == 1 ? "one seed" : "two seeds"));
}

/// How far each norm's means lie apart along the axis.
std::string spread_sentence(const Sweep& sweep, const SweepPanel& panel) {
  std::vector<std::string> parts;
  for (const SweepLine& line : panel.lines) {
    Range means;
    for (const SweepPoint& point : line.points)
      if (has_result(*point.arm)) means.add(mean_of(*point.arm));
    if (!means.empty() && line.points.size() > 1)
      parts.push_back(fmt::format("{} by {:.2f} points", line.norm, 100 * (means.high - means.low)));
  }
  if (parts.empty()) return "";
  return fmt::format("from {} to {}, mean accuracy varies: {}", sweep.at(sweep.tics.front().at),
                     sweep.tics.back().text, listed(parts));
}

std::string rate_sentence(const Sweep& sweep, const SweepPanel& panel) {
  std::vector<std::string> parts;
  for (const SweepLine& line : panel.lines) {
    const std::optional<double> usable = largest_usable(line);
    const bool is_last = usable && *usable == sweep.tics.back().at;
    parts.push_back(usable ? fmt::format("{} {}{}", line.norm, values_text(sweep, {*usable}),
                                         is_last ? " (the largest tried)" : "")
                           : line.norm + " none of those tried");
  }
  return "largest usable learning rate: " + listed(parts);
}

std::string depth_sentence(const Sweep& sweep, const SweepPanel& panel, double chance) {
  std::vector<std::string> everywhere, parts;
  for (const SweepLine& line : panel.lines) {
    std::vector<double> trained, failed;
    for (const SweepPoint& point : line.points) {
      const ArmView& arm = *point.arm;
      const bool trains =
          all_finished(arm) && has_result(arm) && mean_of(arm) >= trained_over_chance * chance;
      (trains ? trained : failed).push_back(point.x);
    }
    if (failed.empty())
      everywhere.push_back(line.norm);
    else if (trained.empty())
      parts.push_back(fmt::format("{} trains at no {} tried", line.norm, sweep.axis));
    else
      parts.push_back(fmt::format("{} trains at {} but not at {}", line.norm, values_text(sweep, trained),
                                  values_text(sweep, failed)));
  }
  if (!everywhere.empty())
    parts.insert(parts.begin(), fmt::format("{} {} at every {}", listed(everywhere),
                                            everywhere.size() == 1 ? "trains" : "train", sweep.axis));
  return fmt::format("{}", fmt::join(parts, "; "));
}

void add_groups_sentence(const Sweep& sweep, std::vector<std::string>& sentences) {
  const SweepLine& line = sweep.panels.front().lines.front();
  const ArmView* best = nullptr;
  for (const SweepPoint& point : line.points)
    if (has_result(*point.arm) && (best == nullptr || mean_of(*point.arm) > mean_of(*best))) best = point.arm;
  if (best == nullptr) return;
  std::vector<std::string> open, below;
  for (const SweepPoint& point : line.points)
    if (point.arm != best && has_result(*point.arm)) {
      const Estimate gap = difference(best->summary, point.arm->summary);
      (is_distinguishable(gap) ? below : open)
          .push_back(fmt::format("{} ({:+.2f})", point.arm->name, -100 * gap.mean));
    }
  std::string text =
      fmt::format("Of the groups, {} ends highest, with {} %", best->name, percent_text(mean_of(*best)));
  if (!below.empty()) text += "; below it by more than the 95 % interval: " + listed(below);
  if (!open.empty()) text += "; not distinguishable from it: " + listed(open);
  sentences.push_back(text + " (points, paired by seed).");
}

void add_broken(const StudyView& study, std::vector<std::string>& sentences) {
  std::map<std::string, std::size_t> diverged, unfinished;
  std::size_t all = 0, lost = 0;
  for (const ArmView& arm : study.arms) {
    all += arm.summary.runs;
    lost += arm.summary.runs - arm.summary.finished;
    if (arm.summary.diverged > 0) diverged[arm.summary.norm] += arm.summary.diverged;
    if (const std::size_t rest = arm.summary.runs - arm.summary.finished - arm.summary.diverged; rest > 0)
      unfinished[arm.summary.norm] += rest;
  }
  if (lost == 0) return;
  std::vector<std::string> parts;
  for (const auto& [norm, count] : diverged) parts.push_back(fmt::format("{} diverged in {}", norm, count));
  for (const auto& [norm, count] : unfinished)
    parts.push_back(fmt::format("{} did not finish {}", norm, count));
  sentences.push_back(fmt::format("Of {} runs, {} are in none of the means: {}.", all, lost, listed(parts)));
}

}  // namespace

std::optional<double> largest_usable(const SweepLine& line) {
  double best = 0;
  for (const SweepPoint& point : line.points)
    if (has_result(*point.arm)) best = std::max(best, mean_of(*point.arm));
  std::optional<double> largest;
  for (const SweepPoint& point : line.points)
    if (all_finished(*point.arm) && has_result(*point.arm) && mean_of(*point.arm) >= best - usable_within)
      largest = point.x;
  return largest;
}

std::vector<std::string> sweep_verdict(const StudyView& study, const Sweep& sweep) {
  std::vector<std::string> sentences{highest_of(study, sweep)};
  if (sweep.key == "groups") {
    add_groups_sentence(sweep, sentences);
    return sentences;
  }
  const double chance = 1.0 / static_cast<double>(study.classes.empty() ? 10 : study.classes.size());
  const auto say = [&](const auto& sentence_of) {
    std::vector<std::string> said;
    for (const SweepPanel& panel : sweep.panels) said.push_back(sentence_of(panel));
    for (std::string& sentence : sentences_of(sweep, said)) sentences.push_back(std::move(sentence));
  };
  if (sweep.key == "batch_size" || sweep.key == "micro_batch")
    say([&](const SweepPanel& panel) { return batch_sentence(sweep, panel); });
  if (sweep.key == "lr")
    say([&](const SweepPanel& panel) { return rate_sentence(sweep, panel); });
  else if (sweep.key == "depth")
    say([&](const SweepPanel& panel) { return depth_sentence(sweep, panel, chance); });
  else
    say([&](const SweepPanel& panel) { return spread_sentence(sweep, panel); });
  if (sweep.key == "lr")
    sentences.push_back(fmt::format(
        "Usable: every seed finishes, and their mean is at most {:.0f} points below the norm's best.",
        100 * usable_within));
  if (sweep.key == "depth")
    sentences.push_back(fmt::format(
        "To train: every seed finishes, and their mean is at least {:.0f} %, {:.0f} times chance.",
        100 * trained_over_chance * chance, trained_over_chance));
  add_broken(study, sentences);
  return sentences;
}

}  // namespace normlab
