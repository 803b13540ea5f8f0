#include "host/report/report.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <set>
#include <system_error>

#include "host/record/file.hpp"
#include "host/report/html.hpp"
#include "host/report/verdict.hpp"

namespace normlab {

namespace {

constexpr std::uint64_t largest_picture = 64 << 20;

// --- The table of norms ----------------------------------------------------------------------------------

/// A cell: what it shows (HTML), and what it is sorted by.
struct Cell {
  std::string html;
  double value = NAN;
};

struct Column {
  std::string head;
  std::vector<Cell> cells;  // one for each arm
};

std::string plus_minus(const std::string& mean, const Estimate& estimate) {
  return estimate.n > 1 ? fmt::format("{} ± {}", mean, percent_text(estimate.half_width)) : mean;
}

Cell accuracy_cell(const Estimate& accuracy) {
  return {plus_minus(percent_text(accuracy.mean), accuracy), accuracy.mean};
}

Cell difference_cell(const Estimate& gap) {
  if (gap.n == 0) return {"-"};
  const std::string text = plus_minus(fmt::format("{:+.2f}", 100 * gap.mean), gap);
  if (is_distinguishable(gap)) return {text, gap.mean};
  return {fmt::format("<span class=\"open\" title=\"{}\">{} ?</span>",
                      gap.n > 1 ? "the 95 % interval contains 0" : "one pair of runs has no interval", text),
          gap.mean};
}

Cell seeds_cell(const ArmSummary& arm) {
  std::string text = std::to_string(arm.runs);
  const std::size_t unfinished = arm.runs - arm.finished - arm.diverged;
  if (arm.diverged > 0) text += fmt::format("<br><span class=\"open\">{} diverged</span>", arm.diverged);
  if (unfinished > 0) text += fmt::format("<br><span class=\"open\">{} unfinished</span>", unfinished);
  return {text, static_cast<double>(arm.runs)};
}

Cell threshold_cell(const ArmSummary& arm) {
  const Estimate& epochs = arm.epochs_to_threshold;
  if (epochs.n == 0) return {"-"};
  std::string text = fmt::format("{:.1f}", epochs.mean);
  if (epochs.n < arm.runs) text += fmt::format(" ({} of {})", epochs.n, arm.runs);
  return {text, epochs.mean};
}

Cell whole_number_cell(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return {"-"};
  return {grouped(std::llround(*value)), *value};
}

/// Final accuracy in training, over the runs that finished.
Estimate training_accuracy(const ArmView& arm) {
  std::vector<double> values;
  for (const RunView* run : arm.finished())
    if (const EpochResult* last = run->results.last("train"); last != nullptr && last->accuracy)
      values.push_back(*last->accuracy);
  return estimate(values);
}

template <typename CellOf>
Column column(std::string head, const StudyView& study, const CellOf& cell_of) {
  Column made{std::move(head), {}};
  for (const ArmView& arm : study.arms) made.cells.push_back(cell_of(arm));
  return made;
}

std::string norms_table(const StudyView& study, const ArmSummary* best) {
  std::vector<Column> columns;
  const auto add = [&](std::string head, const auto& cell_of) {
    columns.push_back(column(std::move(head), study, cell_of));
  };
  add("norm", [&](const ArmView& arm) {
    return Cell{fmt::format("<span class=\"swatch\" style=\"background:{}\"></span>{}", arm.color,
                            escaped(arm.label())),
                static_cast<double>(study.arms.size()) - static_cast<double>(&arm - study.arms.data())};
  });
  add("parameters", [](const ArmView& arm) {
    return whole_number_cell(
        arm.summary.parameters ? std::optional(static_cast<double>(*arm.summary.parameters)) : std::nullopt);
  });
  add("seeds", [](const ArmView& arm) { return seeds_cell(arm.summary); });
  add("test accuracy\u00a0%", [&](const ArmView& arm) {
    Cell cell = accuracy_cell(arm.summary.final_accuracy);
    if (best != nullptr && best->arm == arm.summary.arm)
      cell.html = fmt::format("<span class=\"best\">{}</span>", cell.html);
    return cell;
  });
  const auto is_against_baseline = [](const ArmView& arm) { return arm.summary.to_baseline.has_value(); };
  if (std::any_of(study.arms.begin(), study.arms.end(), is_against_baseline))
    add("minus bn", [](const ArmView& arm) {
      return arm.summary.to_baseline ? difference_cell(*arm.summary.to_baseline) : Cell{"-", 0};
    });
  if (best != nullptr && best->norm != "bn" && study.arms.size() > 1)
    add("minus " + best->label, [&](const ArmView& arm) {
      return arm.summary.arm == best->arm ? Cell{"-", 0} : difference_cell(difference(arm.summary, *best));
    });
  add("training accuracy\u00a0%", [](const ArmView& arm) { return accuracy_cell(training_accuracy(arm)); });
  add("epochs to 70\u00a0%", [](const ArmView& arm) { return threshold_cell(arm.summary); });
  add("images/s", [](const ArmView& arm) { return whole_number_cell(arm.summary.images_per_second); });
  add("(best epoch\u00a0%)", [](const ArmView& arm) {
    const double mean = arm.summary.best_accuracy.mean;
    return Cell{arm.summary.best_accuracy.n == 0 ? "-" : fmt::format("({})", percent_text(mean)), mean};
  });

  std::string html = "<table class=\"norms sortable\"><thead><tr>";
  for (const Column& c : columns) html += fmt::format("<th scope=\"col\">{}</th>", escaped(c.head));
  html += "</tr></thead>\n<tbody>\n";
  for (std::size_t row = 0; row < study.arms.size(); ++row) {
    html += "<tr>";
    for (const Column& c : columns)
      html += fmt::format("<td data-label=\"{}\" data-value=\"{:.9g}\"><span>{}</span></td>", escaped(c.head),
                          c.cells[row].value, c.cells[row].html);
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n";
}

constexpr std::string_view table_notes =
    "Test accuracy is that after the last epoch: mean over seeds ± half of its 95 % t-interval. Differences "
    "are in points, paired by seed; <span class=\"open\">?</span> marks those whose interval contains 0, or "
    "that have none; intervals are not corrected for the number of comparisons. Images/s is training alone, "
    "median over epochs. The best epoch is chosen on the test set: not for comparisons. Runs that diverged "
    "or "
    "did not finish are counted, and in none of the means.";

// --- Pictures --------------------------------------------------------------------------------------------

std::string pictures_of(Topic topic, std::string_view heading, const Pictures& pictures,
                        const std::filesystem::path& drawn) {
  std::string html;
  for (const auto& [its_topic, picture] : pictures)
    if (its_topic == topic)
      html += fmt::format("<figure class=\"card\">{}</figure>\n",
                          inline_svg(read_text_file(drawn / (picture.name + ".svg"), largest_picture),
                                     picture.name, picture.alt));
  return html.empty() ? "" : fmt::format("<h2>{}</h2>\n<div class=\"grid\">\n{}</div>\n", heading, html);
}

// --- Where it comes from ---------------------------------------------------------------------------------

std::string entry(std::string_view key, std::string_view value) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>\n", escaped(key), escaped(value));
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
  for (const RunResults& run : study.results) {
    const EpochResult* last = run.last("test");
    std::string line = fmt::format("{}: {}", run.run, run.status);
    if (last != nullptr && last->accuracy)
      line +=
          fmt::format(", {} % on the test set after epoch {}", percent_text(*last->accuracy), last->epoch);
    html += fmt::format("<details><summary>{}</summary>\n", escaped(line));
    if (!run.status_message.empty()) html += fmt::format("<p>{}</p>\n", escaped(run.status_message));
    html += "<dl>\n";
    for (const ConfigEntry& e : run.config.entries())
      if (common_value(study.results, e.key) == "various" || e.key == "norm" || e.key == "seed")
        html += entry(e.key, text_of(e.value));
    html += "</dl>\n" + epochs_table(run) + "</details>\n";
  }
  return html + "</div>\n";
}

/// A directory for what nobody wants to keep.
struct ScratchDirectory {
  std::filesystem::path path;

  ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "normlog-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_system_error(errno, "create directory", name);
    path = name;
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

std::string list_of(std::string_view heading, const std::vector<std::string>& sentences) {
  if (sentences.empty()) return "";
  std::string html = fmt::format("<h2>{}</h2>\n<ul>\n", heading);
  for (const std::string& sentence : sentences) html += fmt::format("<li>{}</li>\n", escaped(sentence));
  return html + "</ul>\n";
}

}  // namespace

std::string report_html(const StudyView& study, const Pictures& pictures,
                        const std::filesystem::path& drawn) {
  std::vector<ArmSummary> arms;
  std::vector<std::string> labels;
  for (const ArmView& arm : study.arms) {
    arms.push_back(arm.summary);
    labels.push_back(arm.label());
  }
  const std::string experiment = common_value(study.results, "experiment");
  const std::string title =
      fmt::format("{}: {}", experiment.empty() ? "study" : experiment, fmt::join(labels, ", "));
  const auto [first, second, third] = verdict(arms);
  const std::string epochs = common_value(study.results, "epochs");

  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n<p class=\"lead\">{2}{3}</p>\n",
      escaped(title), page_style, escaped(study.description()),
      epochs.empty() || epochs == "various"
          ? ""
          : fmt::format(" · {} epoch{}", escaped(epochs), epochs == "1" ? "" : "s"));
  html += fmt::format("<div class=\"card verdict\">\n<p>{}</p>\n<p>{}</p>\n<p>{}</p>\n</div>\n",
                      escaped(first), escaped(second), escaped(third));
  if (const std::string note = common_value(study.results, "data_note"); !note.empty())
    html += fmt::format("<p class=\"open\">Data: {}</p>\n", escaped(note));
  html += fmt::format("<div class=\"card scroll\">\n{}</div>\n<p class=\"note\">{}</p>\n",
                      norms_table(study, best_arm(arms)), table_notes);
  html += list_of("Damage", study.problems);
  html += pictures_of(Topic::comparison, "The norms side by side", pictures, drawn);
  html += pictures_of(Topic::norms, "Each norm by itself", pictures, drawn);
  html += pictures_of(Topic::steps, "Step by step", pictures, drawn);
  html += pictures_of(Topic::confusion, "Which classes they confuse", pictures, drawn);
  html += pictures_of(Topic::mistakes, "What they get wrong and are sure of", pictures, drawn);
  html += list_of("Left out", study.notes);
  html += provenance(study) + runs_of(study);
  return html + fmt::format("</main>\n<script>{}</script>\n</body>\n</html>\n", page_script);
}

void write_report(StudyView& study, const std::filesystem::path& page, const std::filesystem::path& plots) {
  const Pictures made = make_pictures(study, study.notes);
  std::vector<Picture> pictures;
  for (const TopicPicture& one : made) pictures.push_back(one.picture);
  const ScratchDirectory scratch;
  const std::filesystem::path& drawn = plots.empty() ? scratch.path : plots;
  write_pictures(pictures, drawn, plots.empty() ? std::set<std::string>{"svg"} : all_formats);
  atomic_write_file(page, report_html(study, made, drawn));
}

}  // namespace normlab
