// Curves over epochs and over steps.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/run_curves.hpp"
#include "host/report/sweep.hpp"

namespace normlab {

namespace {

constexpr std::size_t most_settings = 8;  // as panels of one picture

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
    {"val-accuracy", "Accuracy on held-out training images by epoch, %", "val", &EpochResult::accuracy, 100},
    {"test-loss", "Test loss by epoch", "test", &EpochResult::loss, 1},
    {"train-loss", "Training loss by epoch", "train", &EpochResult::loss, 1},
    {"val-loss", "Loss on held-out training images by epoch", "val", &EpochResult::loss, 1},
};

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

}  // namespace

void make_epoch_curves(const StudyView& study, Pictures& pictures, std::vector<std::string>& notes) {
  const std::vector<SettingView> all = settings_of(study);
  const std::vector<SettingView> settings = evenly(all, most_settings);
  if (settings.size() < all.size())
    notes.push_back(
        fmt::format("Curves by epoch are drawn for {} of {} settings, evenly chosen; `normlog csv` "
                    "has all of them.",
                    settings.size(), all.size()));
  for (const Quantity& quantity : quantities) {
    std::vector<Chart> charts;
    for (const SettingView& setting : settings) {
      Chart& chart = charts.emplace_back(epoch_chart(quantity.field == &EpochResult::accuracy));
      chart.heading = setting.name;
      for (const ArmView* arm : setting.arms)
        add_curves(chart, *arm, arm->name, Dash::solid, values_of(quantity));
    }
    Picture picture{.name = quantity.name, .title = quantity.title, .subtitle = study.description()};
    picture.subtitle += how_drawn;
    picture.alt = fmt::format("{}: a line for each norm.", quantity.title);
    add_picture(pictures, Topic::comparison, std::move(picture), std::move(charts));
  }
}

void make_norm_curves(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  for (const ArmView* shown : representative(study).arms) {
    const ArmView& arm = *shown;
    Chart accuracy = epoch_chart(true), loss = epoch_chart(false);
    accuracy.heading = "accuracy, %";
    loss.heading = "loss";
    accuracy.place.right = loss.place.left = 0.51;
    for (const Quantity& quantity : quantities)
      add_curves(quantity.field == &EpochResult::accuracy ? accuracy : loss, arm, quantity.split,
                 quantity.split == "train" ? Dash::dashed
                 : quantity.split == "val" ? Dash::dotted
                                           : Dash::solid,
                 values_of(quantity));
    const bool held_out = std::any_of(arm.runs.begin(), arm.runs.end(),
                                      [](const RunView* run) { return run->results.last("val") != nullptr; });
    Picture picture{.name = "norm-" + arm.slug,
                    .title = arm.name + (held_out ? ": training (dashed), held out (dotted), test"
                                                  : ": training (dashed) and test"),
                    .subtitle = described(study) + std::string(how_drawn)};
    picture.alt = fmt::format("{}: accuracy and loss by epoch, in training and on the test set.", arm.name);
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
    for (const ArmView* arm : representative(study).arms)
      add_curves(chart, *arm, arm->name, Dash::solid, [&](const RunView& run, const auto& take) {
        for (const StepBin& bin : run.steps) take(bin.step, bin.*quantity.field);
      });
    Picture picture{.name = quantity.name, .title = quantity.title, .subtitle = described(study)};
    picture.alt = fmt::format("{}: a line for each norm.", quantity.title);
    picture.subtitle += how_drawn;
    add_picture(pictures, Topic::steps, std::move(picture), std::move(chart));
  }
}

void make_learning_rates(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  // Arms with the same schedule share a line.
  Chart chart;
  chart.x_label = "step";
  chart.integers = true;
  chart.floor = 0;
  for (const ArmView* shown : representative(study).arms) {
    const ArmView& arm = *shown;
    const auto longest = std::max_element(
        arm.runs.begin(), arm.runs.end(),
        [](const RunView* a, const RunView* b) { return a->steps.size() < b->steps.size(); });
    Curve curve{arm.name, arm.color, {}};
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
      same->label += ", " + arm.name;
  }
  Picture picture{.name = "learning-rate", .title = "Learning rate by step", .subtitle = described(study)};
  picture.alt = "The learning rate over the steps of the training, a line for each schedule.";
  chart.label_peaks = true;
  if (add_chart(picture, chart)) pictures.push_back({Topic::steps, std::move(picture)});
}

}  // namespace normlab
