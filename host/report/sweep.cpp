#include "host/report/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <compare>
#include <map>
#include <set>

#include "host/report/palette.hpp"

namespace normlab {

namespace {

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string setting_text(const StudyView& study, const ArmView& arm, const std::string& without) {
  std::string text;
  for (const std::string& key : study.swept)
    if (key != without) text += (text.empty() ? "" : ", ") + words_for(key, arm.setting.at(key));
  return text;
}

std::vector<std::string> values_of(const StudyView& study, const std::string& key) {
  std::vector<std::string> values;
  for (const ArmView& arm : study.arms)
    if (const std::string& value = arm.setting.at(key);
        std::find(values.begin(), values.end(), value) == values.end())
      values.push_back(value);
  return values;
}

std::string key_with_most_values(const StudyView& study) {
  std::string best;
  std::size_t most = 0;
  for (const std::string& key : study.swept)
    if (const std::size_t count = values_of(study, key).size(); count > most) {
      best = key;
      most = count;
    }
  return best;
}

/// Where each value of the key lies: numbers in their place, other things one after the other.
std::map<std::string, double> positions_of(const std::vector<std::string>& values) {
  std::map<std::string, double> positions;
  const bool numbers =
      std::all_of(values.begin(), values.end(), [](const auto& v) { return number_of(v).has_value(); });
  for (const std::string& value : values)
    positions[value] = numbers ? *number_of(value) : static_cast<double>(positions.size());
  return positions;
}

bool is_logarithmic(const std::vector<Tic>& tics, const std::string& key) {
  if (key == "init" || key == "padding" || tics.size() < 2 || tics.front().at <= 0) return false;
  return tics.back().at / tics.front().at >= 4;
}

SweepPanel& panel_for(Sweep& sweep, const std::string& setting) {
  for (SweepPanel& panel : sweep.panels)
    if (panel.setting == setting) return panel;
  return sweep.panels.emplace_back(SweepPanel{setting, {}, {}});
}

SweepLine& line_for(SweepPanel& panel, const std::string& norm, const std::string& color) {
  for (SweepLine& line : panel.lines)
    if (line.norm == norm) return line;
  return panel.lines.emplace_back(SweepLine{norm, color, {}});
}

void finish(Sweep& sweep) {
  std::set<double> seen;
  std::erase_if(sweep.tics, [&](const Tic& tic) { return !seen.insert(tic.at).second; });
  std::sort(sweep.tics.begin(), sweep.tics.end(), [](const Tic& a, const Tic& b) { return a.at < b.at; });
  for (SweepPanel& panel : sweep.panels)
    for (SweepLine& line : panel.lines)
      std::stable_sort(line.points.begin(), line.points.end(),
                       [](const SweepPoint& a, const SweepPoint& b) { return a.x < b.x; });
  sweep.is_log = is_logarithmic(sweep.tics, sweep.key);
}

std::optional<int> groups_of(const std::string& norm) {
  int groups = 0;
  const char* end = norm.data() + norm.size();
  if (!norm.starts_with("gn:") || std::from_chars(norm.data() + 3, end, groups).ptr != end || groups < 1)
    return std::nullopt;
  return groups;
}

std::optional<Sweep> group_sweep(const StudyView& study) {
  Sweep sweep;
  sweep.key = "groups";
  sweep.axis = words_for(sweep.key);
  sweep.split = result_split(study.results);
  SweepPanel panel;
  std::set<std::string> norms;
  for (const ArmView& arm : study.arms) {
    if (!norms.insert(arm.summary.norm).second) return std::nullopt;  // at several settings: no single line
    if (const auto groups = groups_of(arm.summary.norm)) {
      line_for(panel, "gn", norm_color("gn")).points.push_back({static_cast<double>(*groups), &arm});
      sweep.tics.push_back({static_cast<double>(*groups), std::to_string(*groups)});
    } else {
      panel.others.push_back(&arm);
    }
  }
  sweep.panels.push_back(std::move(panel));
  finish(sweep);
  return sweep.tics.size() < 3 ? std::nullopt : std::optional(std::move(sweep));
}

}  // namespace

std::string words_for(const std::string& key) {
  static const std::map<std::string, std::string> words{
      {"batch_size", "batch size"}, {"micro_batch", "micro-batch"}, {"lr", "learning rate"},
      {"init", "initialization"},   {"clip", "gradient clipping"},  {"groups", "groups of gn"}};
  const auto known = words.find(key);
  if (known != words.end()) return known->second;
  std::string text = key;
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string words_for(const std::string& key, const std::string& value) {
  const bool is_off = value.empty() || number_of(value) == 0.0;
  if (key == "clip") return is_off ? "no clipping" : "clipped at " + value;
  if (key == "micro_batch" && is_off) return "whole batches";
  if (key == "init" || key == "padding") return key == "init" ? value : value + " padding";
  return words_for(key) + " " + (value.empty() ? "-" : value);
}

const ArmView* SweepLine::at(double x) const {
  for (const SweepPoint& point : points)
    if (point.x == x) return point.arm;
  return nullptr;
}

std::string Sweep::at(double x) const {
  for (const Tic& tic : tics)
    if (tic.at == x) return key == "groups" ? "gn:" + tic.text : words_for(key, tic.text);
  return axis + " " + number(x);
}

std::optional<Sweep> sweep_of(const StudyView& study) {
  if (study.swept.empty()) return group_sweep(study);
  Sweep sweep;
  sweep.key = key_with_most_values(study);
  sweep.axis = words_for(sweep.key);
  sweep.split = result_split(study.results);
  const std::vector<std::string> values = values_of(study, sweep.key);
  if (values.size() < 2) return std::nullopt;
  const auto positions = positions_of(values);
  for (const auto& [value, x] : positions) sweep.tics.push_back({x, value.empty() ? "-" : value});
  for (const ArmView& arm : study.arms) {
    SweepPanel& panel = panel_for(sweep, setting_text(study, arm, sweep.key));
    line_for(panel, arm.summary.norm, arm.color)
        .points.push_back({positions.at(arm.setting.at(sweep.key)), &arm});
  }
  finish(sweep);
  return sweep;
}

std::vector<SettingView> settings_of(const StudyView& study) {
  std::vector<SettingView> settings;
  for (const ArmView& arm : study.arms) {
    const std::string name = setting_text(study, arm, "");
    auto known =
        std::find_if(settings.begin(), settings.end(), [&](const SettingView& s) { return s.name == name; });
    if (known == settings.end()) known = settings.insert(settings.end(), SettingView{name, {}});
    known->arms.push_back(&arm);
  }
  const auto place = [&](const SettingView& setting) {
    std::vector<double> values;  // by swept key
    for (const std::string& key : study.swept)
      values.push_back(number_of(setting.arms.front()->setting.at(key)).value_or(0));
    return values;
  };
  std::stable_sort(settings.begin(), settings.end(),
                   [&](const SettingView& a, const SettingView& b) { return place(a) < place(b); });
  return settings;
}

SettingView representative(const StudyView& study) {
  struct Worth {
    std::size_t finished = 0;
    double accuracy = 0;
    auto operator<=>(const Worth&) const = default;
  };
  SettingView best;
  Worth most;
  for (SettingView& setting : settings_of(study)) {
    Worth worth;
    for (const ArmView* arm : setting.arms) {
      if (arm->summary.finished == 0) continue;
      ++worth.finished;
      if (std::isfinite(arm->summary.final_accuracy.mean)) worth.accuracy += arm->summary.final_accuracy.mean;
    }
    if (best.arms.empty() || worth >= most) {
      best = std::move(setting);
      most = worth;
    }
  }
  return best;
}

std::string described(const StudyView& study) {
  const std::string setting = study.swept.empty() ? "" : representative(study).name;
  return study.description() + (setting.empty() ? "" : " · " + setting);
}

}  // namespace normlab
