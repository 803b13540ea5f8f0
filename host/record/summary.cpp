#include "host/record/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

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
  return difference.n > 1 && std::abs(difference.mean) > difference.half_width;
}

Estimate difference(const ArmSummary& a, const ArmSummary& b) {
  std::vector<double> ours, theirs;
  for (const auto& [seed, accuracy] : a.accuracies)
    if (const auto found = b.accuracies.find(seed); found != b.accuracies.end()) {
      ours.push_back(accuracy);
      theirs.push_back(found->second);
    }
  return paired_difference(ours, theirs);
}

namespace {

constexpr std::string_view baseline_norm = "bn";

/// An arm without its norm: "-b2" of gn4-b2, "" of gn4. Arms that differ in the norm alone share it.
std::string setting_of(const RunResults& run) {
  std::string tag = run.norm;
  std::erase(tag, ':');
  return run.arm.starts_with(tag) ? run.arm.substr(tag.size()) : run.arm;
}

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

ArmSummary summarize_arm(const std::vector<const RunResults*>& runs, std::string_view split) {
  ArmSummary arm;
  arm.split = split;
  arm.arm = runs.front()->arm;
  arm.norm = runs.front()->norm;
  arm.label = runs.front()->norm.empty() ? arm.arm : runs.front()->norm;
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
  return arm;
}

/// The runs of each arm, arms and runs in the order given.
std::vector<std::vector<const RunResults*>> by_arm(std::span<const RunResults> runs) {
  std::vector<std::vector<const RunResults*>> arms;
  for (const RunResults& run : runs) {
    auto arm = std::find_if(arms.begin(), arms.end(), [&](const auto& known) {
      return known.front()->arm == run.arm && known.front()->norm == run.norm;
    });
    if (arm == arms.end()) arm = arms.insert(arms.end(), std::vector<const RunResults*>{});
    arm->push_back(&run);
  }
  return arms;
}

// --- The table as text -----------------------------------------------------------------------------------

/// Columns that a text takes on the terminal: UTF-8 continuation bytes take none.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t width, bool left) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return left ? text + space : space + text;
}

std::string percent(double fraction) {
  return std::isnan(fraction) ? "-" : fmt::format("{:.2f}", 100 * fraction);
}

std::string with_interval(const Estimate& value, bool is_difference) {
  if (value.n == 0) return "-";
  const std::string mean = is_difference ? fmt::format("{:+.2f}", 100 * value.mean) : percent(value.mean);
  if (value.n == 1) return mean + std::string(8, ' ');  // one seed has no interval; the means stay aligned
  return mean + " ± " + padded(percent(value.half_width), 5, false);
}

/// A difference, marked if its interval contains 0.
std::string difference_text(const ArmSummary& arm) {
  if (!arm.to_baseline) return "-  ";
  const Estimate& value = *arm.to_baseline;
  const bool is_open = value.n > 1 && !is_distinguishable(value);
  return with_interval(value, true) + (is_open ? " ?" : "  ");
}

std::string runs_text(const ArmSummary& arm) {
  const std::size_t unfinished = arm.runs - arm.finished - arm.diverged;
  std::string text;
  if (arm.diverged > 0) text = fmt::format("{} of {} diverged", arm.diverged, arm.runs);
  if (unfinished > 0)
    text += fmt::format("{}{} of {} unfinished", text.empty() ? "" : ", ", unfinished, arm.runs);
  return text.empty() ? std::to_string(arm.runs) : text;
}

std::string epochs_text(const ArmSummary& arm) {
  const Estimate& reached = arm.epochs_to_threshold;
  if (reached.n == 0) return "-";
  const std::string mean = fmt::format("{:.1f}", reached.mean);
  return reached.n == arm.runs ? mean : fmt::format("{} ({} of {})", mean, reached.n, arm.runs);
}

std::string title(std::span<const RunResults> runs) {
  std::string text;
  const auto add = [&](std::string_view before, std::string_view key, std::string_view after) {
    std::string value = common_value(runs, key);
    if (value.empty()) return;
    if (key == "train_images" && value != "various")
      value = grouped(static_cast<std::int64_t>(runs.front().config.number(key).value_or(0)));
    text += fmt::format("{}{}{}{}", text.empty() ? "" : " · ", before, value, after);
  };
  add("", "experiment", "");
  add("", "net", "");
  add("data ", "data", "");
  add("", "train_images", " training images");
  add("", "epochs", " epochs");
  add("batch ", "batch_size", "");
  add("", "device", "");
  add("", "precision", "");
  return text;
}

struct Column {
  std::string head;
  bool left;
  std::string (*text)(const ArmSummary&);
};

/// `split` is "test" or "held-out".
std::vector<Column> columns_of(std::string_view split) {
  return {
      {"norm", true, [](const ArmSummary& arm) { return arm.label; }},
      {"parameters", false,
       [](const ArmSummary& arm) { return arm.parameters ? grouped(*arm.parameters) : std::string("-"); }},
      {"seeds", false, runs_text},
      {fmt::format("{} accuracy %", split), false,
       [](const ArmSummary& arm) { return with_interval(arm.final_accuracy, false); }},
      {"minus bn  ", false, difference_text},
      {"epochs to 70 %", false, epochs_text},
      {"images/s", false,
       [](const ArmSummary& arm) {
         return std::isnan(arm.images_per_second) ? std::string("-")
                                                  : grouped(std::llround(arm.images_per_second));
       }},
      {"(best %)", false,
       [](const ArmSummary& arm) {
         return arm.best_accuracy.n == 0 ? std::string("-")
                                         : fmt::format("({})", percent(arm.best_accuracy.mean));
       }},
  };
}

std::string table_of(const std::vector<ArmSummary>& arms, std::string_view split) {
  const std::vector<Column> columns = columns_of(split);
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  for (const Column& column : columns) {
    std::vector<std::string>& texts = cells.emplace_back();
    std::size_t width = width_of(column.head);
    for (const ArmSummary& arm : arms) {
      texts.push_back(column.text(arm));
      width = std::max(width, width_of(texts.back()));
    }
    widths.push_back(width);
  }
  std::string text, rule;
  const auto line = [&](auto cell) {
    std::string one;
    for (std::size_t i = 0; i < columns.size(); ++i)
      one += (i == 0 ? "" : "  ") + padded(cell(i), widths[i], columns[i].left);
    one.erase(one.find_last_not_of(' ') + 1);
    text += one + "\n";
  };
  for (std::size_t i = 0; i < columns.size(); ++i)
    for (std::size_t k = 0; k < widths[i] + (i == 0 ? 0 : 2); ++k) rule += "─";
  line([&](std::size_t i) { return columns[i].head; });
  text += rule + "\n";
  for (std::size_t row = 0; row < arms.size(); ++row) line([&](std::size_t i) { return cells[i][row]; });
  return text;
}

std::string footnotes(const std::vector<ArmSummary>& arms, std::span<const RunResults> runs) {
  const std::string_view split = words_for_split(result_split(runs));
  std::string text = fmt::format(
      "accuracy        {}, after the last epoch: mean over seeds ± half of its 95 % t-interval\n"
      "minus bn        the same, difference to bn in points, paired by seed; ? = the interval contains 0\n"
      "epochs to 70 %  first epoch with that accuracy of 70 % or more: mean over the seeds that reached it\n"
      "images/s        training alone, median over epochs; more where processors were free to help\n"
      "(best %)        of the best epoch, which is chosen by its accuracy: not for comparisons\n",
      split == "test" ? "on test images" : "on training images held out");
  const auto any = [&](auto holds) { return std::any_of(arms.begin(), arms.end(), holds); };
  if (any([](const ArmSummary& arm) { return arm.finished < arm.runs; }))
    text += "Runs that diverged (loss not finite) or are unfinished are counted, and in none of the means.\n";
  if (any([](const ArmSummary& arm) { return arm.finished == 1; }))
    text += "One seed says nothing about the spread: no interval (-). Three are a look, five a claim.\n";
  std::string moved;
  for (const RunResults& run : runs)
    if (!run.config.text("earlier_machine").empty()) moved += (moved.empty() ? "" : ", ") + run.run;
  if (!moved.empty())
    text += "Begun on one machine or build, gone on with on another, so not repeatable to the bit: " + moved +
            "\n";
  const std::string note = common_value(runs, "data_note");
  if (!note.empty()) text += "Data: " + note + "\n";
  return text;
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
  const auto arms = by_arm(runs);
  const std::string_view split = result_split(runs);
  std::map<std::string, ArmSummary> baselines;  // by setting
  std::map<std::string, std::size_t> arms_of_norm;
  for (const auto& arm : arms) {
    ++arms_of_norm[arm.front()->norm];
    if (arm.front()->norm == baseline_norm) baselines[setting_of(*arm.front())] = summarize_arm(arm, split);
  }
  std::vector<ArmSummary> summaries;
  for (const auto& arm : arms) {
    ArmSummary summary = summarize_arm(arm, split);
    const RunResults& first = *arm.front();
    if (arms_of_norm[first.norm] > 1) summary.label = summary.arm;
    const auto baseline = baselines.find(setting_of(first));
    if (first.norm != baseline_norm && baseline != baselines.end())
      summary.to_baseline = difference(summary, baseline->second);
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

std::string summary_text(std::span<const RunResults> runs) {
  const std::vector<ArmSummary> arms = summarize(runs);
  return title(runs) + "\n\n" + table_of(arms, words_for_split(result_split(runs))) + "\n" +
         footnotes(arms, runs);
}

}  // namespace normlab
