// Curves over epochs and over steps.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "host/report/chart.hpp"
#include "host/report/pictures.hpp"

namespace normlab {

namespace {

constexpr std::string_view how_drawn = " · line: mean, band: lowest to highest seed";

/// A quantity of an epoch: which split, which field.
struct Quantity {
  std::string name;  // of the picture
  std::string title;
  std::string split;
  std::optional<double> EpochResult::*field;
  double scale;
};

const std::vector<Quantity> quantities{
    {"test-accuracy", "Test accuracy by epoch, %", "test", &EpochResult::accuracy, 100},
    {"train-accuracy", "Training accuracy by epoch, %", "train", &EpochResult::accuracy, 100},
    {"test-loss", "Test loss by epoch", "test", &EpochResult::loss, 1},
    {"train-loss", "Training loss by epoch", "train", &EpochResult::loss, 1},
};

/// The values of several runs at each x, as a curve.
template <typename ValuesOf>
std::vector<CurvePoint> curve_over(const std::vector<const RunView*>& runs, const ValuesOf& values_of) {
  std::map<double, std::vector<double>> by_x;
  for (const RunView* run : runs) values_of(*run, [&](double x, double value) { by_x[x].push_back(value); });
  std::vector<CurvePoint> points;
  for (const auto& [x, values] : by_x) points.push_back(curve_point(x, values));
  return points;
}

bool has_values(const std::vector<CurvePoint>& points) {
  return std::any_of(points.begin(), points.end(),
                     [](const CurvePoint& p) { return std::isfinite(p.over_seeds.mean); });
}

/// One curve for the runs that finished, as in the table, and a thin one for each of the others.
template <typename ValuesOf>
void add_curves(Chart& chart, const ArmView& arm, const std::string& label, bool dashed,
                const ValuesOf& values_of) {
  std::vector<CurvePoint> done = curve_over(arm.finished(), values_of);
  bool labelled = has_values(done);
  if (labelled) chart.curves.push_back({label, arm.color, std::move(done), dashed, false});
  for (const RunView* run : arm.finished(false)) {
    std::vector<CurvePoint> points = curve_over({run}, values_of);
    if (!has_values(points)) continue;
    const std::string its_label = labelled ? "" : fmt::format("{} ({})", label, run->results.status);
    chart.curves.push_back({its_label, arm.color, std::move(points), dashed, true});
    labelled = true;
  }
}

auto values_of(const Quantity& quantity) {
  return [&quantity](const RunView& run, const auto& take) {
    for (const EpochResult& epoch : run.results.epochs)
      if (const auto& value = epoch.*quantity.field; epoch.split == quantity.split && value)
        take(epoch.epoch, quantity.scale * *value);
  };
}

Chart epoch_chart(bool accuracy) {
  Chart chart;
  chart.x_label = "epoch";
  chart.integers = true;
  chart.floor = 0;
  if (accuracy) chart.ceiling = 100;
  return chart;
}

/// Tells readers of a picture with crosses what they are.
void explain_crosses(Chart& chart) {
  if (std::any_of(chart.curves.begin(), chart.curves.end(),
                  [](const Curve& curve) { return curve.broken_off; }))
    chart.x_label += " (×: a run ended early)";
}

void add_if_any(Pictures& pictures, Topic topic, Picture picture, Chart chart) {
  picture.subtitle += how_drawn;
  explain_crosses(chart);
  if (add_chart(picture, chart)) pictures.push_back({topic, std::move(picture)});
}

}  // namespace

void make_epoch_curves(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  for (const Quantity& quantity : quantities) {
    Chart chart = epoch_chart(quantity.field == &EpochResult::accuracy);
    for (const ArmView& arm : study.arms) add_curves(chart, arm, arm.label(), false, values_of(quantity));
    Picture picture{.name = quantity.name, .title = quantity.title, .subtitle = study.description()};
    picture.alt = fmt::format("{}: a line for each norm.", quantity.title);
    add_if_any(pictures, Topic::comparison, std::move(picture), std::move(chart));
  }
}

void make_norm_curves(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  for (const ArmView& arm : study.arms) {
    Chart accuracy = epoch_chart(true), loss = epoch_chart(false);
    accuracy.heading = "accuracy, %";
    loss.heading = "loss";
    accuracy.right = loss.left = 0.51;
    for (const Quantity& quantity : quantities)
      add_curves(quantity.field == &EpochResult::accuracy ? accuracy : loss, arm, quantity.split,
                 quantity.split == "train", values_of(quantity));
    Picture picture{.name = "norm-" + arm.slug,
                    .title = arm.label() + ": training (dashed) and test",
                    .subtitle = study.description() + std::string(how_drawn)};
    picture.alt =
        fmt::format("{}: accuracy and loss by epoch, in training and on the test set.", arm.label());
    explain_crosses(accuracy);
    const bool any = add_chart(picture, accuracy);
    if (add_chart(picture, loss) || any) pictures.push_back({Topic::norms, std::move(picture)});
  }
}

void make_step_curves(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  struct StepQuantity {
    std::string name, title;
    double StepBin::*field;
    bool log;
  };
  const StepQuantity step_quantities[]{
      {"step-loss", "Training loss by step", &StepBin::loss, false},
      {"step-grad-norm", "Norm of the gradient by step", &StepBin::grad_norm, true}};
  for (const StepQuantity& quantity : step_quantities) {
    Chart chart;
    chart.x_label = "step (medians over bins)";
    chart.integers = true;
    chart.log_y = quantity.log;
    chart.floor = 0;
    for (const ArmView& arm : study.arms)
      add_curves(chart, arm, arm.label(), false, [&](const RunView& run, const auto& take) {
        for (const StepBin& bin : run.steps) take(bin.step, bin.*quantity.field);
      });
    Picture picture{.name = quantity.name, .title = quantity.title, .subtitle = study.description()};
    picture.alt = fmt::format("{}: a line for each norm.", quantity.title);
    add_if_any(pictures, Topic::steps, std::move(picture), std::move(chart));
  }
}

void make_learning_rates(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  // Arms with the same schedule share a line.
  Chart chart;
  chart.x_label = "step";
  chart.integers = true;
  chart.floor = 0;
  for (const ArmView& arm : study.arms) {
    const auto longest = std::max_element(
        arm.runs.begin(), arm.runs.end(),
        [](const RunView* a, const RunView* b) { return a->steps.size() < b->steps.size(); });
    Curve curve{arm.label(), arm.color, {}};
    for (const StepBin& bin : (*longest)->steps)
      if (std::isfinite(bin.lr)) curve.points.push_back(curve_point(bin.step, {bin.lr}));
    if (curve.points.empty()) continue;
    const auto same = std::find_if(chart.curves.begin(), chart.curves.end(), [&](const Curve& known) {
      return std::equal(known.points.begin(), known.points.end(), curve.points.begin(), curve.points.end(),
                        [](const CurvePoint& a, const CurvePoint& b) {
                          return a.x == b.x && a.over_seeds.mean == b.over_seeds.mean;
                        });
    });
    if (same == chart.curves.end())
      chart.curves.push_back(std::move(curve));
    else
      same->label += ", " + arm.label();
  }
  Picture picture{.name = "learning-rate", .title = "Learning rate by step", .subtitle = study.description()};
  picture.alt = "The learning rate over the steps of the training, a line for each schedule.";
  chart.label_peaks = true;
  if (add_chart(picture, chart)) pictures.push_back({Topic::steps, std::move(picture)});
}

}  // namespace normlab
