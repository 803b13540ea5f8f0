#include "host/report/study_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "host/data/load_dataset.hpp"
#include "host/record/arms.hpp"
#include "host/record/run_identity.hpp"
#include "host/record/run_name.hpp"
#include "host/report/palette.hpp"
#include "host/system/system_error.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

constexpr std::int64_t most_bins = 100;

/// Medians of bins that are equally wide for all runs of the same length, so that seeds can be averaged.
std::vector<StepBin> binned(const RunResults& run, const std::vector<StepResult>& steps) {
  if (steps.empty()) return {};
  const auto planned = static_cast<std::int64_t>(run.config.number("steps").value_or(0));
  const std::int64_t width = (std::max(planned, steps.back().step) + most_bins - 1) / most_bins;
  struct Values {
    std::vector<double> loss, lr, grad_norm;
  };
  std::map<std::int64_t, Values> bins;
  const auto keep = [](std::vector<double>& values, const std::optional<double>& value) {
    if (value && std::isfinite(*value)) values.push_back(*value);
  };
  for (const StepResult& step : steps) {
    Values& bin = bins[std::max<std::int64_t>(step.step - 1, 0) / std::max<std::int64_t>(width, 1)];
    keep(bin.loss, step.loss);
    keep(bin.lr, step.lr);
    keep(bin.grad_norm, step.grad_norm);
  }
  std::vector<StepBin> medians;
  for (const auto& [index, bin] : bins) {
    const auto middle = static_cast<double>(index * width) + static_cast<double>(width + 1) / 2;
    medians.push_back({middle, median(bin.loss), median(bin.lr), median(bin.grad_norm)});
  }
  return medians;
}

std::string slug_of(std::string_view name, std::set<std::string>& taken) {
  std::string slug;
  for (const char c : name.substr(0, 60)) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    slug += plain ? c : '_';
  }
  if (slug.empty()) slug = "run";
  const std::string first = slug;
  for (int n = 2; !taken.insert(slug).second; ++n) slug = fmt::format("{}_{}", first, n);
  return slug;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; !text.empty() && at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

/// Keys that any run says it is one value of.
std::vector<std::string> all_swept_keys(const std::vector<RunResults>& results) {
  std::vector<std::string> keys;
  for (const RunResults& run : results)
    for (const std::string& key : swept_keys(run.config))
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  return keys;
}

std::vector<ArmView> arms_of(const std::vector<RunView>& runs, const std::vector<RunResults>& results,
                             const std::vector<std::string>& swept) {
  std::vector<ArmView> arms;
  std::set<std::string> taken;
  std::map<std::string, int> same_color;
  for (ArmSummary& summary : summarize(results)) {
    ArmView& arm = arms.emplace_back();
    arm.slug = slug_of(summary.arm, taken);
    arm.summary = std::move(summary);
    arm.name = swept.empty() || arm.summary.norm.empty() ? arm.summary.label : arm.summary.norm;
    for (const std::size_t i : arm.summary.members) arm.runs.push_back(&runs[i]);
    for (const std::string& key : swept)
      arm.setting[key] = arm.runs.empty() ? "" : arm.runs.front()->results.config.text(key);
    // Arms of one norm that nothing says the difference of are lighter and lighter shades of its colour;
    // those of a sweep never share a chart but at one setting.
    const std::string color = norm_color(arm.summary.norm);
    arm.color = swept.empty() ? shade(color, 0.18 * (same_color[color]++ % 4)) : color;
  }
  return arms;
}

/// A sweep's charts have one place for each norm at each swept value.
void check_pool(const StudyView& study) {
  const std::vector<std::string> others = pooled_settings(study.results);
  if (study.swept.empty() || others.empty()) return;
  throw Error(
      "these runs sweep {}, but differ in {}, too: one page cannot show both; draw each study alone, or put "
      "two "
      "side by side: normlog compare A B",
      fmt::join(study.swept, " and "), fmt::join(others, " and "));
}

/// Leaves out what is there more than once, and says so.
void keep_distinct(StudyView& study) {
  DistinctRuns distinct = distinct_runs(study.results);
  std::vector<RunView> runs;
  std::vector<RunResults> results;
  for (const std::size_t i : distinct.kept) {
    runs.push_back(std::move(study.runs[i]));
    results.push_back(std::move(study.results[i]));
  }
  study.runs = std::move(runs);
  study.results = std::move(results);
  for (const std::string& sentence : distinct.sentences)
    study.repeats.push_back(fmt::format("{} {}", sentence, which_counts));
}

/// What load_dataset takes for the set that a configuration names: its `data` is a path or "synthetic seed
/// 0".
std::string data_spec(std::string source) {
  constexpr std::string_view drawn = "synthetic seed ";
  if (source.starts_with(drawn)) source.replace(0, drawn.size(), "synthetic:");
  return source;
}

void load_images(StudyView& study, const std::string& data) {
  const std::string source = common_data(study.results);
  const std::string digest = common_value(study.results, "data_digest");
  const auto leave_out = [&](const std::string& why) {
    study.notes.push_back("The misclassified images are left out: " + why);
  };
  const auto none_has = [&](auto has) { return std::none_of(study.runs.begin(), study.runs.end(), has); };
  if (none_has([](const RunView& run) { return !run.results.epochs.empty(); }))
    return;  // nothing was trained
  if (none_has([](const RunView& run) { return !run.predictions.empty(); }))
    return leave_out("no run has recorded its predictions.");
  if (data.empty() && (source.empty() || source == "various"))
    return leave_out("the runs do not name one data set; --data DIR does.");
  try {
    Dataset set = load_dataset(data.empty() ? data_spec(source) : data);
    if (!digest.empty() && set.digest != digest)
      return leave_out(fmt::format("'{}' is not the data set that the runs saw; --data DIR names another.",
                                   data.empty() ? source : data));
    study.test_images = std::move(set.test);
    if (study.classes.empty()) study.classes = std::move(set.class_names);
  } catch (const std::exception& error) {
    if (!data.empty()) throw;
    leave_out(fmt::format("{} (--data DIR names the data set).", reason_of(error)));
  }
}

/// Names for the classes that have none.
void complete_classes(StudyView& study) {
  std::size_t classes = study.classes.size();
  for (const RunView& run : study.runs)
    for (const Prediction& prediction : run.predictions)
      classes = std::max<std::size_t>(classes, std::max(prediction.label, prediction.predicted) + 1U);
  for (std::size_t label = study.classes.size(); label < classes; ++label)
    study.classes.push_back(std::to_string(label));
}

}  // namespace

std::vector<const RunView*> ArmView::finished(bool finished) const {
  std::vector<const RunView*> chosen;
  for (const RunView* run : runs)
    if (run->is_finished() == finished) chosen.push_back(run);
  return chosen;
}

std::vector<ArmSummary> summaries_of(const StudyView& study) {
  std::vector<ArmSummary> arms;
  for (const ArmView& arm : study.arms) arms.push_back(arm.summary);
  return arms;
}

std::string StudyView::description() const {
  std::vector<std::string> parts;
  const auto add = [&](std::string value, std::string_view after = "") {
    if (!value.empty() && value != "various") parts.push_back(value.append(after));
  };
  add(common_value(results, "net"));
  add(data_name(common_data(results)));
  std::set<std::int64_t> seeds;
  for (const RunResults& run : results) seeds.insert(run.seed);
  add(std::to_string(seeds.size()), seeds.size() == 1 ? " seed" : " seeds");
  return fmt::format("{}", fmt::join(parts, " · "));
}

StudyView view_study(std::span<const std::filesystem::path> paths, const std::string& data) {
  StudyView study;
  study.left_out = for_each_run(find_runs(paths), [&](std::size_t, RunResults results, const Log& log) {
    RunView& run = study.runs.emplace_back();
    run.results = std::move(results);
    run.steps = binned(run.results, step_results(log));
    run.predictions = log.last_predictions("test.predictions");
    run.channels = channel_views(log);
    study.results.push_back(run.results);
    study.problems.insert(study.problems.end(), run.results.problems.begin(), run.results.problems.end());
  });
  keep_distinct(study);
  const std::string classes = common_value(study.results, "classes");
  if (classes != "various") study.classes = split(classes);
  study.swept = all_swept_keys(study.results);
  check_pool(study);
  study.arms = arms_of(study.runs, study.results, study.swept);
  load_images(study, data);
  complete_classes(study);
  return study;
}

}  // namespace normlab
