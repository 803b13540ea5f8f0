#include "host/report/report_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "host/record/figure_text.hpp"
#include "host/report/html.hpp"
#include "host/report/laws.hpp"
#include "host/report/verdict.hpp"

namespace normlab {

namespace {

/// A cell: what it shows (HTML), and what it is sorted by.
struct Cell {
  std::string html;
  double value = NAN;
};

struct Column {
  std::string head;
  std::vector<Cell> cells;  // one for each arm
};

Cell accuracy_cell(const Estimate& accuracy) {
  return {figure_text(accuracy, accuracy_style), accuracy.mean};
}

Cell difference_cell(const Estimate& gap) {
  if (gap.n == 0) return {"-"};
  const std::string text = figure_text(gap, accuracy_difference_style);
  if (is_distinguishable(gap)) return {text, gap.mean};
  return {fmt::format("<span class=\"open\" title=\"{}\">{} ?</span>",
                      gap.has_interval() ? "the 95 % interval contains 0"
                                         : "one or two pairs of runs have no interval",
                      text),
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

/// A learning rate; marked if it was taken though no rate learned.
Cell rate_cell(const ArmSummary& arm) {
  if (arm.lr.empty()) return {"-"};
  const double value = std::strtod(arm.lr.c_str(), nullptr);
  if (arm.lr_choice != rate_choice::none_learned) return {escaped(arm.lr), value};
  return {fmt::format("{}<br><span class=\"open\">none learned</span>", escaped(arm.lr)), value};
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

std::string html_of(const std::vector<Column>& columns) {
  std::string html = "<table class=\"norms sortable\"><thead><tr>";
  for (const Column& c : columns) html += fmt::format("<th scope=\"col\">{}</th>", escaped(c.head));
  html += "</tr></thead>\n<tbody>\n";
  for (std::size_t row = 0; row < columns.front().cells.size(); ++row) {
    html += "<tr>";
    for (const Column& c : columns)
      html += fmt::format("<td data-label=\"{}\" data-value=\"{:.9g}\"><span>{}</span></td>", escaped(c.head),
                          c.cells[row].value, c.cells[row].html);
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n";
}

Cell name_cell(const ArmView& arm, const std::string& name, double order) {
  return {fmt::format("<span class=\"swatch\" style=\"background:{}\"></span>{}", arm.color, escaped(name)),
          order};
}

/// Final accuracy of an arm, and what became of the runs that are not in it.
Cell sweep_cell(const ArmView* arm, bool is_best) {
  if (arm == nullptr) return {"-"};
  const ArmSummary& summary = arm->summary;
  Cell cell = accuracy_cell(summary.final_accuracy);
  if (is_best) cell.html = fmt::format("<span class=\"best\">{}</span>", cell.html);
  if (summary.diverged > 0)
    cell.html =
        fmt::format("{}<span class=\"open\">{} of {} diverged</span>",
                    summary.final_accuracy.n == 0 ? "" : cell.html + "<br>", summary.diverged, summary.runs);
  return cell;
}

double mean_at(const SweepLine& line, double x) {
  const ArmView* arm = line.at(x);
  return arm == nullptr ? NAN : arm->summary.final_accuracy.mean;
}

std::string panel_table(const Sweep& sweep, const SweepPanel& panel) {
  std::vector<Column> columns{{sweep.axis, {}}};
  for (const SweepLine& line : panel.lines) columns.push_back({line.norm + "\u00a0%", {}});
  for (const Tic& tic : sweep.tics) {
    columns[0].cells.push_back({escaped(sweep.at(tic.at)), tic.at});
    double highest = -INFINITY;
    for (const SweepLine& line : panel.lines)
      if (const double mean = mean_at(line, tic.at); std::isfinite(mean)) highest = std::max(highest, mean);
    for (std::size_t i = 0; i < panel.lines.size(); ++i) {
      const SweepLine& line = panel.lines[i];
      const bool is_best = panel.lines.size() > 1 && mean_at(line, tic.at) == highest;
      columns[i + 1].cells.push_back(sweep_cell(line.at(tic.at), is_best));
    }
  }
  const std::string heading =
      panel.setting.empty() ? "" : fmt::format("<h3>{}</h3>\n", escaped(panel.setting));
  return heading + "<div class=\"card scroll\">\n" + html_of(columns) + "</div>\n";
}

Cell law_cell(const Estimate& law, int digits) {
  if (law.n == 0) return {"-"};
  std::string text = fmt::format("{:.{}f}", law.mean, digits);
  if (law.n > 1)
    text += fmt::format(" ± {:.{}f}", law.deviation / std::sqrt(static_cast<double>(law.n)), digits);
  return {text, law.mean};
}

}  // namespace

std::string norms_table(const StudyView& study, const ArmSummary* best) {
  std::vector<Column> columns;
  const auto add = [&](std::string head, const auto& cell_of) {
    columns.push_back(column(std::move(head), study, cell_of));
  };
  add("norm", [&](const ArmView& arm) {
    return name_cell(arm, arm.label(),
                     static_cast<double>(study.arms.size()) - static_cast<double>(&arm - study.arms.data()));
  });
  if (names_rates(summaries_of(study)))
    add("learning rate", [](const ArmView& arm) { return rate_cell(arm.summary); });
  add("parameters", [](const ArmView& arm) {
    return whole_number_cell(
        arm.summary.parameters ? std::optional(static_cast<double>(*arm.summary.parameters)) : std::nullopt);
  });
  add("seeds", [](const ArmView& arm) { return seeds_cell(arm.summary); });
  const std::string_view split =
      study.arms.empty() ? "test" : words_for_split(study.arms.front().summary.split);
  add(fmt::format("{} accuracy\u00a0%", split), [&](const ArmView& arm) {
    Cell cell = accuracy_cell(arm.summary.final_accuracy);
    if (best != nullptr && best->arm == arm.summary.arm)
      cell.html = fmt::format("<span class=\"best\">{}</span>", cell.html);
    return cell;
  });
  add("training accuracy\u00a0%", [](const ArmView& arm) { return accuracy_cell(training_accuracy(arm)); });
  const auto is_against_baseline = [](const ArmView& arm) { return arm.summary.to_baseline.has_value(); };
  if (std::any_of(study.arms.begin(), study.arms.end(), is_against_baseline))
    add("minus bn", [](const ArmView& arm) {
      return arm.summary.to_baseline ? difference_cell(*arm.summary.to_baseline) : Cell{"-", 0};
    });
  if (best != nullptr && best->norm != "bn" && study.arms.size() > 1)
    add("minus " + best->label, [&](const ArmView& arm) {
      return arm.summary.arm == best->arm ? Cell{"-", 0} : difference_cell(difference(arm.summary, *best));
    });
  add("epochs to 70\u00a0%", [](const ArmView& arm) { return threshold_cell(arm.summary); });
  add("images/s", [](const ArmView& arm) { return whole_number_cell(arm.summary.images_per_second); });
  add("(best epoch\u00a0%)", [](const ArmView& arm) {
    const double mean = arm.summary.best_accuracy.mean;
    return Cell{arm.summary.best_accuracy.n == 0 ? "-" : fmt::format("({})", percent_text(mean)), mean};
  });

  return html_of(columns);
}

const std::string norms_table_notes =
    "Accuracies are those of the last epoch (in training: mean over that epoch, as trained): mean over seeds "
    "± half of its 95 % t-interval, or [it] where it would leave 0 to 100; of one or two seeds "
    "the "
    "values. Differences are in points, paired by seed, between runs whose settings but for the learning "
    "rate "
    "are equal; <span class=\"open\">?</span> marks those whose interval contains 0, or "
    "that have none; intervals are not corrected for the number of comparisons. Images/s is training alone, "
    "median over epochs. The best epoch is chosen by its accuracy: not for comparisons. Runs that diverged "
    "or "
    "did not finish are counted, and in none of the means.";

std::string sweep_tables(const Sweep& sweep) {
  std::string html;
  for (const SweepPanel& panel : sweep.panels) html += panel_table(sweep, panel);
  return html + fmt::format(
                    "<p class=\"note\">Accuracy on {} after the last epoch: {}; the highest of a row in "
                    "bold. Runs that "
                    "diverged are in none of the means.</p>\n",
                    sweep.split == "val" ? "training images held out (rates are not chosen on the test set)"
                                         : "test images",
                    figure_note);
}

std::string laws_table(const StudyView& study) {
  if (!has_laws(study)) return "";
  std::vector<Column> columns;
  const auto add = [&](const std::string& head, const auto& cell_of) {
    columns.push_back(column(head, study, cell_of));
  };
  add("norm", [&](const ArmView& arm) {
    return name_cell(arm, arm.name, static_cast<double>(study.arms.data() - &arm));
  });
  for (const std::string& key : study.swept)
    add(words_for(key), [&](const ArmView& arm) { return Cell{escaped(arm.setting.at(key))}; });
  add("seeds", [](const ArmView& arm) { return seeds_cell(arm.summary); });
  for (const Law& law : laws())
    add(law.title, [&](const ArmView& arm) { return law_cell(law_of(arm, law), law.digits); });
  return "<div class=\"card scroll\">\n" + html_of(columns) +
         "</div>\n<p class=\"note\">At initialization: mean over seeds ± standard error. Growth is that of "
         "the gradient's norm "
         "from one layer to the one before it; in theory 1.2112 for bn.</p>\n";
}

}  // namespace normlab
