// What came out in the end: final accuracies and confusion matrices.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "host/report/palette.hpp"
#include "host/report/pictures.hpp"
#include "host/report/sweep.hpp"

namespace normlab {

namespace {

constexpr std::size_t most_classes = 25;  // in a matrix that people can read

/// The value below which a share q of the sorted values lies, linear in between.
double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

/// A seed's dot is moved sideways by a fixed pattern, so that equal values show as several dots.
double sideways(std::size_t i) {
  constexpr std::array<double, 5> offsets{0, -0.1, 0.1, -0.05, 0.05};
  return offsets[i % offsets.size()];
}

/// Margins of the axes in pixels.
std::string margins(const Picture& picture, double left, double right, double top, double bottom) {
  return fmt::format(
      "set lmargin at screen {:.4f}; set rmargin at screen {:.4f}\n"
      "set tmargin at screen {:.4f}; set bmargin at screen {:.4f}\n",
      left / picture.width, 1 - right / picture.width, 1 - top / picture.height, bottom / picture.height);
}

/// How often a true class (row) was taken for another (column), in percent of the row: mean over the runs.
std::vector<std::vector<double>> confusion_of(const std::vector<const RunView*>& runs, std::size_t classes) {
  std::vector<std::vector<double>> mean(classes, std::vector<double>(classes, 0));
  for (const RunView* run : runs) {
    std::vector<double> images(classes, 0);
    for (const Prediction& p : run->predictions) ++images[p.label];
    for (const Prediction& p : run->predictions)
      mean[p.label][p.predicted] += 100 / images[p.label] / static_cast<double>(runs.size());
  }
  return mean;
}

std::string tics(std::string_view axis, const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_string(shortened(names[i], 12)), i);
  return fmt::format("set {} ({})", axis, text);
}

Picture confusion_picture(const StudyView& study, const ArmView& arm,
                          const std::vector<const RunView*>& runs) {
  const std::size_t classes = study.classes.size();
  const auto matrix = confusion_of(runs, classes);
  Picture picture{.name = "confusion-" + arm.slug,
                  .title = arm.name + ": which class is taken for which, %",
                  .subtitle = fmt::format("{} · row: true class, column: prediction; mean of {} run{}",
                                          described(study), runs.size(), runs.size() == 1 ? "" : "s")};
  picture.alt = fmt::format("Confusion matrix of {} in percent of each true class.", arm.name);
  picture.height = 540;
  picture.data =
      "# predicted, true (from the top), percent of the true class, colour, colour of the number\n";
  for (std::size_t row = 0; row < classes; ++row)
    for (std::size_t column = 0; column < classes; ++column) {
      // The square root keeps small confusions visible beside the diagonal.
      const double depth = std::sqrt(std::clamp(matrix[row][column] / 100, 0.0, 1.0));
      const std::string fill = shade("#0072b2", 0.94 * (1 - depth));
      picture.data += fmt::format("{} {} {} 0x{} 0x{}\n", column, row, number(matrix[row][column]),
                                  fill.substr(1), depth > 0.62 ? "fffffe" : "1f2226");
    }
  std::string& script = picture.script;
  script = margins(picture, 100, 20, 66, 86);
  script += fmt::format("set xrange [-0.5:{0}.5]; set yrange [{0}.5:-0.5]\n", classes - 1);
  script += "unset border; unset grid; set tics scale 0\n";
  script += tics("xtics rotate by 45 right", study.classes) + "\n" + tics("ytics", study.classes) + "\n";
  const std::string file = gnuplot_string(picture.name + ".dat");
  script += fmt::format(
      "plot {0} using 1:2:(0.48):(0.48):4 with boxxyerror fillstyle solid noborder linecolor rgb variable",
      file);
  if (classes <= 12)
    script += fmt::format(
        ", \\\n  {0} using 1:2:(sprintf($3 < 9.95 ? '%.1f' : '%.0f', $3)):5 with labels font small_font "
        "textcolor rgb variable",
        file);
  script += '\n';
  return picture;
}

}  // namespace

void make_final_accuracies(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  const std::string split(words_for_split(result_split(study.results)));
  Picture picture{.name = "final-accuracy",
                  .title = fmt::format("Final {} accuracy of every seed, %", split),
                  .subtitle = described(study) + " · bar: mean"};
  picture.alt =
      fmt::format("Final {} accuracy: a dot for each seed, a bar for the mean of each norm.", split);
  std::string seeds, means, boxes, names;
  double low = INFINITY, high = -INFINITY;
  bool any_interval = false;
  const std::vector<const ArmView*> arms = representative(study).arms;
  for (std::size_t i = 0; i < arms.size(); ++i) {
    const ArmView& arm = *arms[i];
    const std::string color = "0x" + arm.color.substr(1);
    const std::string name = gnuplot_string(arm.name.empty() ? "?" : shortened(arm.name, 14));
    names += fmt::format("{}{} {}", i == 0 ? "" : ", ", name, i);
    if (arm.summary.finished < arm.summary.runs)
      picture.script += fmt::format(
          "set label {} at {}, graph 0.03 center font tiny_font textcolor "
          "rgb '{}'\n",
          gnuplot_string(fmt::format("{} of {} {}", arm.summary.runs - arm.summary.finished, arm.summary.runs,
                                     arm.summary.diverged > 0 ? "diverged" : "unfinished")),
          i, muted_color);
    std::vector<double> values;
    for (const auto& [seed, accuracy] : arm.summary.accuracies) {
      if (!std::isfinite(accuracy)) continue;
      seeds += fmt::format("{} {} {} {} {}\n", static_cast<double>(i) + sideways(values.size()),
                           number(100 * accuracy), color, seed, name);
      values.push_back(100 * accuracy);
    }
    if (values.empty()) continue;
    const Estimate& mean = arm.summary.final_accuracy;
    Interval interval{NAN, NAN};
    if (mean.has_interval()) interval = mean.interval(bounds_of_accuracy);
    any_interval |= mean.has_interval();
    means += fmt::format("{} {} {} {} {} {} {}\n", i, number(100 * mean.mean), number(100 * interval.low),
                         number(100 * interval.high), color, mean.n, name);
    std::sort(values.begin(), values.end());
    if (values.size() >= 5)
      boxes += fmt::format("{} {} {} {} {}\n", i, number(quantile(values, 0.25)),
                           number(quantile(values, 0.75)), color, name);
    low = std::min(low, values.front());
    high = std::max(high, values.back());
  }
  if (means.empty()) return;
  // Intervals of three seeds are so wide that they may leave the picture; the dots may not.
  const double size = std::max(high - low, 1.0);
  const bool has_boxes = !boxes.empty();
  if (any_interval) picture.subtitle += ", 95 % t-interval";
  if (has_boxes) picture.subtitle += "; box: quartiles";
  picture.data = "# seeds: x accuracy colour seed norm\n" + seeds +
                 "\n\n# means: x mean 95%-interval-from to colour seeds norm\n" + means;
  if (has_boxes) picture.data += "\n\n# quartiles: x lower upper colour norm\n" + boxes;
  std::string& script = picture.script;
  script += margins(picture, 62, 24, 66, 46);
  script += fmt::format("set xrange [-0.6:{}]; set yrange [{}:{}]\n",
                        number(static_cast<double>(arms.size()) - 0.4),
                        number(std::max(0.0, low - 0.3 * size)), number(std::min(100.0, high + 0.3 * size)));
  script += fmt::format("set xtics ({}) {}\nset format y '%h'\n", names,
                        arms.size() > 8 ? "rotate by 30 right" : "");
  const std::string file = gnuplot_string(picture.name + ".dat");
  script += "plot ";
  if (has_boxes)
    script += fmt::format(
        "{} index 2 using 1:(($2 + $3) / 2):(0.28):(($3 - $2) / 2):4 with boxxyerror linecolor rgb variable "
        "fillstyle transparent solid 0.15 border, \\\n  ",
        file);
  script += fmt::format(
      "{0} index 1 using 1:3:(0):($4 - $3):5 with vectors nohead linewidth 2 linecolor rgb variable, "
      "\\\n"
      "  {0} index 1 using ($1 - 0.28):2:(0.56):(0):5 with vectors nohead linewidth 2.5 linecolor rgb "
      "variable, "
      "\\\n"
      "  {0} index 0 using 1:2:3 with points pointtype 7 pointsize 0.7 linecolor rgb variable\n",
      file);
  pictures.push_back({Topic::comparison, std::move(picture)});
}

void make_confusion_matrices(const StudyView& study, Pictures& pictures, std::vector<std::string>& notes) {
  if (study.classes.size() > most_classes) {
    notes.push_back(fmt::format("The confusion matrices are left out: {} classes are more than {}.",
                                study.classes.size(), most_classes));
    return;
  }
  for (const ArmView* shown : representative(study).arms) {
    const ArmView& arm = *shown;
    std::vector<const RunView*> runs = arm.finished();
    std::erase_if(runs, [](const RunView* run) { return run->predictions.empty(); });
    if (!runs.empty()) pictures.push_back({Topic::confusion, confusion_picture(study, arm, runs)});
  }
}

}  // namespace normlab
