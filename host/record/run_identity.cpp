#include "host/record/run_identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

namespace normlab {

namespace {

constexpr std::array<std::string_view, 8> circumstances{"device",   "cpu",   "isa",           "threads",
                                                        "revision", "build", "shard_samples", "algorithms"};

/// What decides no result: how the run is called and kept, what it only looked at, how its rate was chosen.
constexpr std::array<std::string_view, 16> asides{
    "norm",    "seed",      "experiment", "command",        "swept",          "earlier_machine",
    "lr_test", "lr_choice", "diagnose",   "diagnose_steps", "diagnose_first", "diagnose_every",
    "classes", "data_note", "data",       "landscape_every"};

/// What follows from other keys.
constexpr std::array<std::string_view, 3> derived{"steps", "parameters", "memory_bytes"};

template <std::size_t n>
bool is_among(const std::array<std::string_view, n>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

bool has_ended(const RunResults& run) {
  return run.status == "done" || run.status == "diverged";
}

bool same_value(const std::optional<double>& a, const std::optional<double>& b) {
  return a == b || (a && b && std::isnan(*a) && std::isnan(*b));
}

bool same_results(const RunResults& a, const RunResults& b) {
  return a.status == b.status && std::equal(a.epochs.begin(), a.epochs.end(), b.epochs.begin(),
                                            b.epochs.end(), [](const EpochResult& x, const EpochResult& y) {
                                              return x.epoch == y.epoch && x.split == y.split &&
                                                     same_value(x.loss, y.loss) &&
                                                     same_value(x.accuracy, y.accuracy);
                                            });
}

std::string study_of(const RunResults& run) {
  return run.path.parent_path().string();
}

/// "bn-seed0 (10.00 % on test images in A, 12.00 % in B; isa avx2, avx512)".
std::string difference_of(const RunResults& a, const RunResults& b) {
  const auto accuracy = [](const RunResults& run) {
    const EpochResult* last = run.last("test");
    return run.status == "done" && last != nullptr && last->accuracy
               ? fmt::format("{:.2f} %", 100 * *last->accuracy)
               : run.status;
  };
  const auto loss = [](const RunResults& run) {
    const EpochResult* last = run.last("test");
    return last != nullptr && last->loss ? fmt::format(", test loss {:.9g}", *last->loss) : "";
  };
  const bool are_close = accuracy(a) == accuracy(b);
  const auto result = [&](const RunResults& run) {
    return fmt::format("{}{} in {}", accuracy(run), are_close ? loss(run) : "", study_of(run));
  };
  std::string text = fmt::format("{} ({}, {}", a.run, result(a), result(b));
  for (const std::string_view key : circumstances)
    if (key != "threads" && a.config.text(key) != b.config.text(key))
      text += fmt::format("; {} '{}' and '{}'", key, a.config.text(key), b.config.text(key));
  return text + ")";
}

/// The first few of them.
std::string some_of(const std::vector<std::string>& all, std::string_view separator) {
  constexpr std::size_t most = 6;
  if (all.size() <= most) return fmt::format("{}", fmt::join(all, separator));
  return fmt::format("{}{}and {} more", fmt::join(all.begin(), all.begin() + most, separator), separator,
                     all.size() - most);
}

}  // namespace

bool is_circumstance(std::string_view key) {
  return is_among(circumstances, key);
}

std::map<std::string, std::string> deciding_settings(const RunConfig& config) {
  RunConfig whole = config;
  add_younger_settings(whole);
  std::map<std::string, std::string> settings;
  for (const ConfigEntry& entry : whole.entries())
    if (!is_circumstance(entry.key) && !is_among(asides, entry.key) && !is_among(derived, entry.key))
      settings[entry.key] = text_of(entry.value);
  if (settings.contains("net")) settings.erase("depth");  // which it names
  if (!settings.contains("data_digest")) settings["data"] = config.text("data");
  settings.try_emplace("bn", "own");  // which is written where it is another
  return settings;
}

DistinctRuns distinct_runs(std::span<const RunResults> runs) {
  using Identity = std::tuple<std::string, std::int64_t, std::map<std::string, std::string>>;
  std::map<Identity, std::vector<std::size_t>> found;
  DistinctRuns distinct;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    // Without its configuration nobody knows which run it is.
    if (runs[i].config.entries().empty())
      distinct.kept.push_back(i);
    else
      found[{runs[i].norm, runs[i].seed, deciding_settings(runs[i].config)}].push_back(i);
  }
  std::vector<std::pair<std::size_t, std::string>> equal, other, unfinished;
  std::set<std::string> studies;
  for (const auto& [identity, same] : found) {
    const auto ended =
        std::find_if(same.begin(), same.end(), [&](std::size_t i) { return has_ended(runs[i]); });
    const std::size_t kept = ended == same.end() ? same.front() : *ended;
    distinct.kept.push_back(kept);
    if (same.size() == 1) continue;
    const auto differs = std::find_if(same.begin(), same.end(), [&](std::size_t i) {
      return has_ended(runs[i]) && !same_results(runs[kept], runs[i]);
    });
    if (differs != same.end()) {
      other.emplace_back(kept, difference_of(runs[kept], runs[*differs]));
      continue;
    }
    const auto ended_here =
        std::count_if(same.begin(), same.end(), [&](std::size_t i) { return has_ended(runs[i]); });
    if (ended_here < std::ssize(same))
      unfinished.emplace_back(
          kept, fmt::format("{} ({} in {})", runs[kept].run, runs[kept].status, study_of(runs[kept])));
    if (ended_here < 2) continue;
    equal.emplace_back(kept, runs[kept].run);
    for (const std::size_t i : same)
      if (has_ended(runs[i])) studies.insert(study_of(runs[i]));
  }
  std::sort(distinct.kept.begin(), distinct.kept.end());
  const auto names = [](std::vector<std::pair<std::size_t, std::string>>& list) {
    std::sort(list.begin(), list.end());
    std::vector<std::string> texts;
    for (auto& [place, text] : list) texts.push_back(std::move(text));
    return texts;
  };
  if (!equal.empty())
    distinct.sentences.push_back(
        fmt::format("There more than once, with the same settings, seed and results (in {}): {}.",
                    fmt::join(studies, ", "), some_of(names(equal), ", ")));
  if (!unfinished.empty())
    distinct.sentences.push_back(
        fmt::format("There more than once, with the same settings and seed, but not finished everywhere: {}.",
                    some_of(names(unfinished), ", ")));
  if (!other.empty())
    distinct.sentences.push_back(
        fmt::format("There more than once, with the same settings and seed but DIFFERENT results: {}.",
                    some_of(names(other), ", ")));
  return distinct;
}

}  // namespace normlab
