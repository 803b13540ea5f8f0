#include "host/record/arms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "host/record/run_identity.hpp"
#include "host/record/run_name.hpp"

namespace normlab {

namespace {

/// Stands for the settings of a run without its configuration.
constexpr const char* unknown = "unknown";

/// Keys that any run says it is one value of.
std::set<std::string> all_swept_keys(std::span<const RunResults> runs) {
  std::set<std::string> keys;
  for (const RunResults& run : runs)
    for (std::string& key : swept_keys(run.config)) keys.insert(std::move(key));
  return keys;
}

ArmRuns arm_of(const RunResults& run, const std::set<std::string>& swept) {
  ArmRuns arm;
  arm.named = &run;
  arm.norm = run.norm;
  // Without a configuration its directory is all that is known.
  if (run.config.entries().empty())
    arm.others[unknown] = (run.path.parent_path() / run.arm).string();
  else
    arm.others = deciding_settings(run.config);
  for (const std::string& key : swept) arm.setting[key] = run.config.text(key);
  const std::vector<std::string> own = swept_keys(run.config);
  arm.sweeps_lr = std::find(own.begin(), own.end(), "lr") != own.end();
  if (const auto lr = arm.others.find("lr"); lr != arm.others.end()) {
    arm.lr = lr->second;
    arm.others.erase(lr);
  }
  return arm;
}

std::vector<ArmRuns> unnamed_arms(std::span<const RunResults> runs, const std::set<std::string>& swept) {
  std::vector<ArmRuns> arms;
  for (const std::size_t i : distinct_runs(runs).kept) {
    ArmRuns arm = arm_of(runs[i], swept);
    auto known = std::find_if(arms.begin(), arms.end(), [&](const ArmRuns& a) { return a.holds(arm); });
    if (known == arms.end()) known = arms.insert(arms.end(), arm);
    known->runs.push_back(i);
    known->sweeps_lr = known->sweeps_lr && arm.sweeps_lr;
    // A sweep's directories say more than those of a study that did not sweep.
    if (swept_keys(runs[i].config).size() > swept_keys(known->named->config).size()) known->named = &runs[i];
  }
  return arms;
}

/// What the arms differ in beside norm, rate and swept keys: settings of different studies.
std::set<std::string> pooled_keys(const std::vector<ArmRuns>& arms, const std::set<std::string>& swept) {
  std::set<std::string> keys;
  for (const ArmRuns& arm : arms)
    for (const auto& [key, value] : arm.others)
      for (const ArmRuns& other : arms)
        if (const auto its = other.others.find(key); its == other.others.end() || its->second != value)
          if (!arm.others.contains(unknown) && !other.others.contains(unknown)) keys.insert(key);
  for (const std::string& key : swept) keys.erase(key);
  if (swept.contains("depth")) keys.erase("net");  // which names the depth
  return keys;
}

bool differ_in_the_rate_alone(const ArmRuns& a, const ArmRuns& b) {
  return a.norm == b.norm && a.setting == b.setting && a.others == b.others && a.lr != b.lr;
}

/// The data set by its name, and by the digest that tells it from others of that name.
std::string data_name(const ArmRuns& arm) {
  const std::filesystem::path data(arm.named->config.text("data"));
  const std::string name = (data.has_filename() ? data : data.parent_path()).filename().string();
  const auto digest = arm.others.find("data_digest");
  return digest == arm.others.end() ? name : fmt::format("{}:{}", name, digest->second.substr(0, 8));
}

/// The norm where that says all; the directory's name in a sweep; and what differs beside.
std::string label_of(const ArmRuns& arm, const std::vector<ArmRuns>& arms, const std::set<std::string>& swept,
                     const std::set<std::string>& pooled) {
  const std::string& name = arm.named->arm;
  const auto any_other = [&](auto holds) {
    return std::any_of(arms.begin(), arms.end(),
                       [&](const ArmRuns& other) { return &other != &arm && holds(other); });
  };
  if (const auto path = arm.others.find(unknown); path != arm.others.end())
    return any_other([&](const ArmRuns& other) { return other.named->arm == name; }) ? path->second : name;
  std::string label = arm.norm.empty() ? name : arm.norm;
  if (any_other([&](const ArmRuns& other) { return other.setting != arm.setting; }))
    label = swept_keys(arm.named->config).size() == swept.size() ? name : label + " " + text_of(arm.setting);
  constexpr std::size_t most = 2;  // more would fit no table: then the study says it
  if (pooled.size() > most)
    return fmt::format("{} in {}", label,
                       arm.named->path.parent_path().lexically_normal().filename().string());
  for (const std::string& key : pooled) {
    const auto value = arm.others.find(key);
    if (key == "data_digest")
      label += " data=" + data_name(arm);
    else
      label += fmt::format(" {}={}", key, value == arm.others.end() ? "-" : value->second);
  }
  if (any_other([&](const ArmRuns& other) { return differ_in_the_rate_alone(arm, other); }))
    label += " lr=" + arm.lr;
  return label;
}

}  // namespace

std::string text_of(const std::map<std::string, std::string>& settings) {
  std::string text;
  for (const auto& [key, value] : settings)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
  return text;
}

std::vector<ArmRuns> arms_of(std::span<const RunResults> runs) {
  const std::set<std::string> swept = all_swept_keys(runs);
  std::vector<ArmRuns> arms = unnamed_arms(runs, swept);
  const std::set<std::string> pooled = pooled_keys(arms, swept);
  for (ArmRuns& arm : arms) {
    arm.label = label_of(arm, arms, swept, pooled);
    const auto same_directory = [&](const ArmRuns& other) { return other.named->arm == arm.named->arm; };
    arm.name = std::count_if(arms.begin(), arms.end(), same_directory) == 1 ? arm.named->arm : arm.label;
  }
  return arms;
}

std::vector<std::string> pooled_settings(std::span<const RunResults> runs) {
  const std::set<std::string> swept = all_swept_keys(runs);
  const std::vector<ArmRuns> arms = unnamed_arms(runs, swept);
  const std::set<std::string> pooled = pooled_keys(arms, swept);
  std::vector<std::string> keys(pooled.begin(), pooled.end());
  std::replace(keys.begin(), keys.end(), std::string("data_digest"), std::string("data"));
  const auto has_another_rate = [&](const ArmRuns& arm) {
    return std::any_of(arms.begin(), arms.end(),
                       [&](const ArmRuns& other) { return differ_in_the_rate_alone(arm, other); });
  };
  if (std::any_of(arms.begin(), arms.end(), has_another_rate)) keys.emplace_back("lr");
  return keys;
}

}  // namespace normlab
