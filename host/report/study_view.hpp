#pragma once
// A study as pictures and pages need it: its arms with their colours, and of each run the epochs, the steps
// in bins, and the predictions.

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/data/dataset.hpp"
#include "host/record/run_results.hpp"
#include "host/record/summary.hpp"
#include "host/report/channels.hpp"

namespace normlab {

/// Medians over a few consecutive steps of one run; NaN where none of them has a finite value.
struct StepBin {
  double step = 0;  // middle of the bin
  double loss = 0, lr = 0, grad_norm = 0;
};

struct RunView {
  RunResults results;
  std::vector<StepBin> steps;           // at most about 100
  std::vector<Prediction> predictions;  // for the test images, after the last epoch; empty if not recorded
  std::vector<ChannelView> channels;    // diagnostics and what experiments add, thinned

  [[nodiscard]] bool is_finished() const { return results.status == "done"; }
};

/// All seeds of one norm at one setting.
struct ArmView {
  ArmSummary summary;
  std::map<std::string, std::string> setting;  // value of each swept key; "" where a run has none
  std::string name;   // in charts of one setting: the norm as typed, or the label where nothing says more
  std::string slug;   // for file names: letters, digits, '-' and '_'; unique in its study
  std::string color;  // #rrggbb
  std::vector<const RunView*> runs;

  [[nodiscard]] const std::string& label() const { return summary.label; }
  /// Runs that ended well, or the others.
  [[nodiscard]] std::vector<const RunView*> finished(bool finished = true) const;
};

/// Not copyable: the arms point to the runs.
struct StudyView {
  StudyView() = default;
  StudyView(StudyView&&) = default;
  StudyView& operator=(StudyView&&) = default;

  std::vector<RunView> runs;         // in the order of the tables
  std::vector<RunResults> results;   // of the same runs
  std::vector<ArmView> arms;         // in that order, too
  std::vector<std::string> swept;    // configuration keys that the study varies besides norm and seed
  std::vector<std::string> classes;  // names, by label; "0", "1", ... if nothing tells
  std::optional<Images> test_images;
  std::vector<std::string> repeats;   // runs that are there more than once, one sentence each
  std::vector<std::string> left_out;  // runs that could not be read, one sentence each
  std::vector<std::string> problems;  // damage that was read around, one sentence each
  std::vector<std::string> notes;     // what could not be shown and why, one sentence each

  /// Network, data, number of seeds: what every picture says below its title.
  [[nodiscard]] std::string description() const;
};

[[nodiscard]] std::vector<ArmSummary> summaries_of(const StudyView& study);

/// Reads the runs among or directly below `paths`. The images that were misclassified come from `data` (as
/// load_dataset takes it), or from the set that the runs' configuration names if `data` is empty; where that
/// is gone or is another set, a note says so. Throws Error for paths that hold no runs, and where `data` is
/// given but cannot be loaded, and for sweeps that differ in more than what they sweep. Runs that are there
/// more than once are left out but for one, as a note says; other settings make arms of their own.
[[nodiscard]] StudyView view_study(std::span<const std::filesystem::path> paths,
                                   const std::string& data = "");

}  // namespace normlab
