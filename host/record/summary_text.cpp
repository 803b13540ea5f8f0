#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "host/record/arms.hpp"
#include "host/record/figure_text.hpp"
#include "host/record/run_identity.hpp"
#include "host/record/summary.hpp"
#include "host/record/text_layout.hpp"

namespace normlab {

namespace {

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
    if (key == "data") value = data_name(common_data(runs));
    if (key == "train_images" && value != "various")
      value = grouped(static_cast<std::int64_t>(runs.front().config.number(key).value_or(0)));
    if (value == "1" && after.ends_with('s')) after.remove_suffix(1);
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

/// A note below the table.
std::string note(const std::string& head, const std::string& words) {
  constexpr int indent = 16;
  return wrapped(padded(head, indent, true) + words, indent);
}

/// `split` is "test" or "held-out".
TextTable table_of(const std::vector<ArmSummary>& arms, std::string_view split) {
  std::vector<TextColumn> columns;
  const auto add = [&](std::string head, bool left_aligned, int leave_out, const auto& cell) {
    TextColumn& column = columns.emplace_back(TextColumn{std::move(head), left_aligned, {}, leave_out});
    for (const ArmSummary& arm : arms) column.cells.push_back(cell(arm));
  };
  add("norm", true, 0, [](const ArmSummary& arm) { return arm.label; });
  if (names_rates(arms)) add("lr ", false, 0, rate_text);
  add("params", false, 3,
      [](const ArmSummary& arm) { return arm.parameters ? grouped(*arm.parameters) : std::string("-"); });
  add("seeds", false, 0, runs_text);
  add(fmt::format("{} accuracy %", split), false, 0,
      [](const ArmSummary& arm) { return figure_cell(arm.final_accuracy, accuracy_style); });
  add("minus bn  ", false, 0, difference_text);
  add("to 70 %", false, 1, epochs_text);
  add("images/s", false, 2, [](const ArmSummary& arm) {
    return std::isnan(arm.images_per_second) ? std::string("-")
                                             : grouped(std::llround(arm.images_per_second));
  });
  return text_table(std::move(columns));
}

std::string footnotes(const std::vector<ArmSummary>& arms, std::span<const RunResults> runs,
                      const std::vector<std::string>& left_out) {
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
  const auto has = [&](const char* head) { return std::ranges::count(left_out, head) == 0; };
  if (has("to 70 %"))
    text +=
        note("to 70 %", "first epoch with that accuracy of 70 % or more: mean over the seeds that got there");
  if (has("images/s"))
    text += note("images/s", "training alone, median over epochs; more where processors were free to help");
  if (!left_out.empty())
    text += note("", fmt::format("No room for {}: `normlog csv` and `normlog report` have {}.",
                                 fmt::join(left_out, ", "), left_out.size() == 1 ? "it" : "them"));
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
  if (!moved.empty()) text += note("", "Begun elsewhere, so not repeatable to the bit: " + moved);
  if (const std::string data = common_value(runs, "data_note"); !data.empty())
    text += wrapped("Data: " + data, 2);
  return text;
}

}  // namespace

std::string common_data(std::span<const RunResults> runs) {
  const std::string digest = common_value(runs, "data_digest"), common = common_value(runs, "data");
  if (common != "various" || digest.empty() || digest == "various") return common;
  std::string longest;
  for (const RunResults& run : runs)
    if (const std::string data = run.config.text("data"); data.size() > longest.size()) longest = data;
  return longest;
}

std::string data_name(std::string data) {
  while (data.size() > 1 && data.ends_with('/')) data.pop_back();
  return data.find('/') == std::string::npos ? data : std::filesystem::path(data).filename().string();
}

std::string summary_text(std::span<const RunResults> runs) {
  const std::vector<ArmSummary> arms = summarize(runs);
  const TextTable table = table_of(arms, words_for_split(result_split(runs)));
  return wrapped(title(runs), 2) + "\n" + table.text + "\n" + footnotes(arms, runs, table.left_out);
}

}  // namespace normlab
