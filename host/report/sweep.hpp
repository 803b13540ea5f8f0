#pragma once
// A study that varies a setting: which of its arms stand on which line of which chart.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/report/axis.hpp"
#include "host/report/study_view.hpp"

namespace normlab {

/// A configuration key in words: "batch size" for batch_size.
[[nodiscard]] std::string words_for(const std::string& key);
/// A value of a key in words: "clip 1", "no clipping", "he".
[[nodiscard]] std::string words_for(const std::string& key, const std::string& value);

struct SweepPoint {
  double x = 0;
  const ArmView* arm = nullptr;
};

/// One norm at every value of the axis.
struct SweepLine {
  std::string norm;
  std::string color;
  std::vector<SweepPoint> points;  // by x

  /// The arm at x; nullptr if there is none.
  [[nodiscard]] const ArmView* at(double x) const;
};

/// One setting of all other swept keys.
struct SweepPanel {
  std::string setting;  // "he, no clipping"; "" if nothing else is swept
  std::vector<SweepLine> lines;
  std::vector<const ArmView*> others;  // norms that the axis does not apply to: bn beside the groups of gn
};

struct Sweep {
  std::string key;        // of the axis: batch_size; "groups" for norms gn:1, gn:2, ...
  std::string axis;       // in words
  std::string split;      // that decides: result_split()
  bool is_log = false;    // values are at least 0 and lie ratios apart
  std::vector<Tic> tics;  // its values, in order
  std::vector<SweepPanel> panels;

  [[nodiscard]] std::string at(double x) const;  // "batch size 8"
};

/// The arms that share every swept setting; all arms, without a name, where nothing is swept.
struct SettingView {
  std::string name;  // "batch size 8, he"
  std::vector<const ArmView*> arms;
};
[[nodiscard]] std::vector<SettingView> settings_of(const StudyView& study);

/// The setting at which the norms are best looked at in detail: where most of them have finished runs; of
/// those, where their mean accuracy is highest (the later of equals). Empty for a study without arms.
[[nodiscard]] SettingView representative(const StudyView& study);

/// What pictures of that setting say below their title: the study, and the setting if one was chosen.
[[nodiscard]] std::string described(const StudyView& study);

/// How the study's arms line up: along the swept key with the most values (the first of equals); or along the
/// groups of group norm where there are three or more and nothing else is swept. None if neither.
[[nodiscard]] std::optional<Sweep> sweep_of(const StudyView& study);

}  // namespace normlab
