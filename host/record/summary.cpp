#include "host/record/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

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

/// One value has nothing behind it; the means stay aligned.
std::string figure_cell(const Estimate& value, FigureStyle style) {
  style.half_digits = 5;
  return figure_text(value, style) + (value.n == 1 ? std::string(8, ' ') : "");
}

/// A difference, marked if it cannot be told from 0.
std::string difference_text(const ArmSummary& arm) {
  if (!arm.to_baseline || arm.to_baseline->n == 0) return "-  ";
  return figure_cell(*arm.to_baseline, accuracy_difference_style) +
         (is_distinguishable(*arm.to_baseline) ? "  " : " ?");
}

std::string rate_text(const ArmSummary& arm) {
  if (arm.lr.empty()) return "- ";
  return arm.lr + (arm.lr_choice == rate_choice::none_learned ? "*" : " ");
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
    if (value.empty() || (key == "lr" && value == "various")) return;
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
  add("lr ", "lr", "");
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
std::vector<Column> columns_of(std::string_view split, bool with_rates) {
  std::vector<Column> columns{
      {"norm", true, [](const ArmSummary& arm) { return arm.label; }},
      {"parameters", false,
       [](const ArmSummary& arm) { return arm.parameters ? grouped(*arm.parameters) : std::string("-"); }},
      {"seeds", false, runs_text},
      {fmt::format("{} accuracy %", split), false,
       [](const ArmSummary& arm) { return figure_cell(arm.final_accuracy, accuracy_style); }},
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
  if (with_rates) columns.insert(columns.begin() + 1, {"lr ", false, rate_text});
  return columns;
}

std::string table_of(const std::vector<ArmSummary>& arms, std::string_view split) {
  const std::vector<Column> columns = columns_of(split, names_rates(arms));
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

/// A line below the table; of a long one the rest stands below its words.
std::string note(const std::string& head, const std::string& words) {
  constexpr std::size_t most = 104;
  const std::size_t indent = head.empty() ? 0 : 16;
  std::string text, line = padded(head, indent, true);
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t end = std::min(words.find(' ', at), words.size());
    const std::string word = words.substr(at, end - at);
    const bool is_first = width_of(line) <= indent;
    if (!is_first && width_of(line) + 1 + width_of(word) > most) {
      text += line + "\n";
      line = std::string(indent, ' ') + word;
    } else {
      line += (is_first ? "" : " ") + word;
    }
    at = end + 1;
  }
  return text + line + "\n";
}

std::string footnotes(const std::vector<ArmSummary>& arms, std::span<const RunResults> runs) {
  const std::string_view split = words_for_split(result_split(runs));
  const auto any = [&](auto holds) { return std::any_of(arms.begin(), arms.end(), holds); };
  std::string text;
  const std::string choice = choice_of_rates(arms);
  if (names_rates(arms) || !choice.empty())
    text += note("lr", "peak learning rate" +
                           (choice.empty() ? " (how it was chosen is not recorded)" : ": " + choice));
  if (any([](const ArmSummary& arm) { return arm.lr_choice == rate_choice::none_learned; }))
    text += note("*", "no rate that --lr auto tried did better than guessing: the smallest was taken");
  text += note("accuracy",
               fmt::format("{}, after the last epoch: {}",
                           split == "test" ? "on test images" : "on training images held out", figure_note));
  text +=
      note("minus bn",
           "the same, difference to bn in points, paired by seed, all settings but lr being equal; what is "
           "marked ? is not distinguishable: the interval contains 0, or there is none");
  text += note("epochs to 70 %",
               "first epoch with that accuracy of 70 % or more: mean over the seeds that reached it");
  text += note("images/s", "training alone, median over epochs; more where processors were free to help");
  text += note("(best %)", "of the best epoch, which is chosen by its accuracy: not for comparisons");
  if (any([](const ArmSummary& arm) { return arm.finished < arm.runs; }))
    text += note(
        "",
        "Runs that diverged (something not finite) or are unfinished are counted, and in none of the means.");
  if (any([](const ArmSummary& arm) { return arm.finished > 0 && arm.finished < fewest_for_interval; }))
    text += note(
        "",
        "Fewer than three seeds say little about the spread: no interval. Three are a look, five a claim.");
  if (const auto pooled = pooled_settings(runs); !pooled.empty())
    text += note(
        "", fmt::format("Runs of different settings ({}) are rows of their own; `normlog compare A B` puts "
                        "two studies side by side.",
                        fmt::join(pooled, ", ")));
  for (const std::string& sentence : distinct_runs(runs).sentences)
    text += note("", fmt::format("{} {}", sentence, which_counts));
  std::string moved;
  for (const RunResults& run : runs)
    if (!run.config.text("earlier_machine").empty()) moved += (moved.empty() ? "" : ", ") + run.run;
  if (!moved.empty())
    text += note(
        "", "Begun on one machine or build, gone on with on another, so not repeatable to the bit: " + moved);
  if (const std::string data = common_value(runs, "data_note"); !data.empty()) text += "Data: " + data + "\n";
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

std::string summary_text(std::span<const RunResults> runs) {
  const std::vector<ArmSummary> arms = summarize(runs);
  return title(runs) + "\n\n" + table_of(arms, words_for_split(result_split(runs))) + "\n" +
         footnotes(arms, runs);
}

}  // namespace normlab
