#include "host/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <optional>
#include <set>
#include <system_error>

#include "host/record/file.hpp"
#include "host/report/findings.hpp"
#include "host/report/html.hpp"
#include "host/report/laws.hpp"
#include "host/report/report_tables.hpp"
#include "host/report/sweep_verdict.hpp"
#include "host/report/verdict.hpp"
#include "host/system/paths.hpp"

namespace normlab {

namespace {

constexpr std::uint64_t largest_picture = 64 << 20;
constexpr std::size_t most_epoch_rows = 4000;

// --- Pictures --------------------------------------------------------------------------------------------

/// A section of the page: its pictures in a grid, below the sentence that sums them up. Nothing if the study
/// has no such pictures.
std::string section(const StudyView& study, Topic topic, std::string_view heading, const Pictures& pictures,
                    const std::filesystem::path& drawn) {
  std::string html;
  for (const auto& [its_topic, picture] : pictures)
    if (its_topic == topic)
      html += fmt::format("<figure class=\"card\">{}</figure>\n",
                          inline_svg(read_text_file(drawn / (picture.name + ".svg"), largest_picture),
                                     picture.name, picture.alt) +
                              hover_data(picture));
  if (html.empty()) return "";
  const std::string sentence = finding(study, topic);
  return fmt::format("<h2>{}</h2>\n{}<div class=\"grid\">\n{}</div>\n", heading,
                     sentence.empty() ? "" : fmt::format("<p>{}</p>\n", escaped(sentence)), html);
}

// --- Where it comes from ---------------------------------------------------------------------------------

std::string entry(std::string_view key, std::string_view value) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>\n", escaped(key), escaped(value));
}

/// "bn 0.1, ln 0.02: as given": the rates of the arms, by norm where it has one, and how they were chosen.
std::string rates_of(const StudyView& study) {
  const std::vector<ArmSummary> arms = summaries_of(study);
  std::vector<std::string> rates;
  for (const ArmSummary& arm : arms) {
    const bool is_of_its_norm = std::all_of(arms.begin(), arms.end(), [&](const ArmSummary& other) {
      return other.norm != arm.norm || other.lr == arm.lr;
    });
    const std::string rate =
        label_has_rate(arm) ? arm.label : fmt::format("{} {}", is_of_its_norm ? arm.norm : arm.arm, arm.lr);
    if (!arm.lr.empty() && std::find(rates.begin(), rates.end(), rate) == rates.end()) rates.push_back(rate);
  }
  const std::string choice = choice_of_rates(arms);
  std::string text = fmt::format("{}", fmt::join(rates, ", "));
  if (!text.empty() && !names_rates(arms)) text = arms.front().lr;
  return text.empty() || choice.empty() ? text : fmt::format("{}: {}", text, choice);
}

/// What every run has in common, and what the reader should know about the data first.
std::string provenance(const StudyView& study) {
  const auto& runs = study.results;
  std::string html = "<h2>How it was made</h2>\n<div class=\"card\">\n";
  if (const std::string command = common_value(runs, "command"); !command.empty())
    html += fmt::format("<p>Command:</p>\n<pre><code>{}</code></pre>\n", escaped(command));
  if (const std::string note = common_value(runs, "data_note"); !note.empty())
    html += fmt::format("<p class=\"open\">Data: {}</p>\n", escaped(note));
  html += "<dl>\n";
  const std::pair<std::string_view, std::string_view> first[]{
      {"data", "data set"},       {"data_digest", "its SHA-256"},
      {"device", "device"},       {"cpu", "processor"},
      {"isa", "instruction set"}, {"threads", "threads of a run"},
      {"revision", "revision"},   {"build", "build"}};
  std::set<std::string> told{"command", "data_note", "norm", "seed", "classes"};
  for (const auto& [key, name] : first) {
    if (const std::string value = common_value(runs, key); !value.empty()) html += entry(name, value);
    told.insert(std::string(key));
  }
  if (const std::string rates = rates_of(study); !rates.empty()) html += entry("learning rate", rates);
  told.insert({"lr", "lr_choice"});
  html += "</dl>\n<details><summary>Configuration that all runs share</summary>\n<dl>\n";
  if (!runs.empty())
    for (const ConfigEntry& e : runs.front().config.entries())
      if (const std::string value = common_value(runs, e.key); value != "various" && !told.contains(e.key))
        html += entry(e.key, value);
  return html + "</dl>\n</details>\n</div>\n";
}

std::string optional_text(const std::optional<double>& value, double scale, int digits) {
  return value ? fmt::format("{:.{}f}", scale * *value, digits) : "";
}

std::string epochs_table(const RunResults& run) {
  std::string html =
      "<div class=\"scroll\"><table><thead><tr><th>epoch</th><th>split</th><th>loss</th><th>accuracy %</th>"
      "<th>seconds</th></tr></thead><tbody>\n";
  for (const EpochResult& epoch : run.epochs)
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", epoch.epoch,
                        epoch.split, optional_text(epoch.loss, 1, 4), optional_text(epoch.accuracy, 100, 2),
                        optional_text(epoch.seconds, 1, 2));
  return html + "</tbody></table></div>\n";
}

/// One line for each run, which opens: how it ended, what only it has in its configuration, its epochs.
std::string runs_of(const StudyView& study) {
  std::string html = "<h2>Runs</h2>\n<div class=\"card\">\n";
  std::size_t rows = 0;
  for (const RunResults& run : study.results) rows += run.epochs.size();
  const bool with_epochs = rows <= most_epoch_rows;
  if (!with_epochs)
    html += fmt::format(
        "<p class=\"note\">{} rows of epochs are too many for a page: `normlog csv` writes them.</p>\n",
        grouped(static_cast<std::int64_t>(rows)));
  std::vector<std::filesystem::path> paths;
  for (const RunResults& run : study.results) paths.push_back(run.path);
  const std::vector<std::string> names = unique_names(paths);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const RunResults& run = study.results[i];
    const EpochResult* last = run.last("test");
    std::string line = fmt::format("{}: {}", names[i], run.status);
    if (last != nullptr && last->accuracy)
      line +=
          fmt::format(", {} % on the test set after epoch {}", percent_text(*last->accuracy), last->epoch);
    if (!run.config.text("earlier_machine").empty())
      line += ", begun on another machine or build (earlier_machine): not repeatable to the bit";
    html += fmt::format("<details><summary>{}</summary>\n", escaped(line));
    if (!run.status_message.empty()) html += fmt::format("<p>{}</p>\n", escaped(run.status_message));
    html += "<dl>\n";
    for (const ConfigEntry& e : run.config.entries())
      if (common_value(study.results, e.key) == "various" || e.key == "norm" || e.key == "seed")
        html += entry(e.key, text_of(e.value));
    html += "</dl>\n" + (with_epochs ? epochs_table(run) : "") + "</details>\n";
  }
  return html + "</div>\n";
}

std::string list_of(std::string_view heading, const std::vector<std::string>& sentences) {
  if (sentences.empty()) return "";
  std::string html = fmt::format("<h2>{}</h2>\n<ul>\n", heading);
  for (const std::string& sentence : sentences) html += fmt::format("<li>{}</li>\n", escaped(sentence));
  return html + "</ul>\n";
}

/// Every norm once, in the order of the tables.
std::string norms_of(const StudyView& study) {
  std::vector<std::string> names;
  for (const ArmView& arm : study.arms)
    if (std::find(names.begin(), names.end(), arm.name) == names.end()) names.push_back(arm.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> verdict_of(const StudyView& study) {
  if (has_laws(study)) return laws_verdict(study);
  const std::optional<Sweep> sweep = sweep_of(study);
  if (sweep && !study.swept.empty()) return sweep_verdict(study, *sweep);
  const auto three = verdict(summaries_of(study));
  std::vector<std::string> sentences(three.begin(), three.end());
  if (sweep) sentences.push_back(sweep_verdict(study, *sweep).back());
  return sentences;
}

/// How the rates of the table were chosen.
std::string rates_note(std::span<const ArmSummary> arms) {
  const std::string choice = choice_of_rates(arms);
  return choice.empty() ? "" : escaped(fmt::format(" Learning rates (peak): {}.", choice));
}

std::string tables_of(const StudyView& study) {
  if (has_laws(study)) return laws_table(study);
  const std::vector<ArmSummary> arms = summaries_of(study);
  const std::string norms =
      fmt::format("<div class=\"card scroll\">\n{}</div>\n<p class=\"note\">{}</p>\n",
                  norms_table(study, best_arm(arms)), norms_table_notes + rates_note(arms));
  const std::optional<Sweep> sweep = sweep_of(study);
  if (!sweep || study.swept.empty()) return norms;
  return sweep_tables(*sweep) +
         fmt::format("<details><summary>All {} settings of all norms, a row each</summary>\n{}</details>\n",
                     study.arms.size(), norms);
}

}  // namespace

std::string report_html(const StudyView& study, const Pictures& pictures,
                        const std::filesystem::path& drawn) {
  const std::string experiment = common_value(study.results, "experiment");
  const std::string title = fmt::format("{}: {}", experiment.empty() ? "study" : experiment, norms_of(study));
  const std::string epochs = common_value(study.results, "epochs");
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n<p class=\"lead\">{2}{3}</p>\n",
      escaped(title), page_style, escaped(study.description()),
      epochs.empty() || epochs == "various"
          ? ""
          : fmt::format(" · {} epoch{}", escaped(epochs), epochs == "1" ? "" : "s"));
  html += "<div class=\"card verdict\">\n";
  for (const std::string& sentence : verdict_of(study)) html += fmt::format("<p>{}</p>\n", escaped(sentence));
  html += "</div>\n";
  if (const std::string note = common_value(study.results, "data_note"); !note.empty())
    html += fmt::format("<p class=\"open\">Data: {}</p>\n", escaped(note));
  html += tables_of(study) + list_of("Runs that are there more than once", study.repeats) +
          list_of("Runs that cannot be read", study.left_out) + list_of("Damage", study.problems);
  const SettingView shown = representative(study);
  const auto add = [&](Topic topic, std::string_view heading) {
    html += section(study, topic, heading, pictures, drawn);
  };
  add(Topic::sweep, "What the settings change");
  add(Topic::laws, "Laws at initialization");
  if (!study.swept.empty() && !has_laws(study))
    html += fmt::format(
        "<p class=\"note\">Pictures of a single setting are those at {}: where most norms have finished "
        "runs and, of those, their mean accuracy is highest.</p>\n",
        escaped(shown.name));
  add(Topic::comparison, "The norms side by side");
  add(Topic::norms, "Each norm by itself");
  add(Topic::gradients, "Gradients, layer by layer");
  add(Topic::activations, "Activations, layer by layer");
  add(Topic::weights, "Weights and updates");
  add(Topic::landscape, "The loss landscape along the gradient");
  add(Topic::steps, "Step by step");
  add(Topic::confusion, "Which classes they confuse");
  add(Topic::mistakes, "What they get wrong and are sure of");
  html += list_of("Left out", study.notes);
  html += provenance(study) + runs_of(study);
  return html + fmt::format("</main>\n<script>{}</script>\n</body>\n</html>\n", page_script);
}

void write_report(StudyView& study, const std::filesystem::path& page, const std::filesystem::path& plots) {
  const Pictures made = make_pictures(study, study.notes);
  std::vector<Picture> pictures;
  for (const TopicPicture& one : made) pictures.push_back(one.picture);
  std::optional<ScratchDirectory> scratch;
  if (plots.empty()) scratch.emplace();
  const std::filesystem::path drawn = plots.empty() ? scratch->path() : plots;
  write_pictures(pictures, drawn, plots.empty() ? std::set<std::string>{"svg"} : all_formats);
  atomic_write_file(page, report_html(study, made, drawn));
}

}  // namespace normlab
