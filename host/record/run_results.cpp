#include "host/record/run_results.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include "host/record/run_directory.hpp"
#include "host/record/run_name.hpp"
#include "host/system/paths.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"
#include "layers/norms.hpp"

namespace normlab {

namespace {

constexpr std::array<std::string_view, 3> splits{"train", "val", "test"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Takes the digits at the front off `text`; 0 if there are none, the largest number if there are too many.
std::uint64_t take_number(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  const auto length = as_size(end - text.begin());
  std::uint64_t number = 0;
  if (std::from_chars(text.data(), text.data() + length, number).ec == std::errc::result_out_of_range)
    number = UINT64_MAX;
  text.remove_prefix(length);
  return number;
}

/// Whether a comes before b as people sort: b2 before b16.
bool natural_less(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const std::uint64_t x = take_number(a), y = take_number(b);
      if (x != y) return x < y;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  return a.size() < b.size();
}

struct RunName {
  std::string arm;
  std::string seed;  // digits, or nothing
};

/// gn4-b2-seed0 is seed 0 of the arm gn4-b2.
RunName split_name(std::string_view run) {
  const std::size_t at = run.rfind("-seed");
  if (at == std::string_view::npos) return {std::string(run), ""};
  const std::string_view seed = run.substr(at + 5);
  if (seed.empty() || !std::all_of(seed.begin(), seed.end(), is_digit)) return {std::string(run), ""};
  return {std::string(run.substr(0, at)), std::string(seed)};
}

/// The configuration of a run, empty where it cannot be read.
RunConfig config_of(const std::filesystem::path& run) {
  try {
    return RunConfig::read(RunDirectory(run).config());
  } catch (const Error&) {
    return {};
  }
}

/// Where a run stands in the tables.
struct Place {
  std::size_t norm;  ///< in the table of norms; behind all of them where nothing says which
  std::string arm, seed;
};

Place place_of(const std::filesystem::path& run) {
  const RunConfig config = config_of(run);
  const NormKind* kind = norm_kind(config.text("norm"));
  if (kind == nullptr) {
    RunName name = split_name(run.filename().string());
    return {norm_kinds().size(), std::move(name.arm), std::move(name.seed)};
  }
  return {as_size(kind - norm_kinds().data()), arm_name(config), config.text("seed")};
}

bool comes_before(const Place& x, const Place& y) {
  if (x.norm != y.norm) return x.norm < y.norm;
  // "0.1" and "0.01" are equal numbers to the natural order, which takes 01 for 1.
  for (const auto& [one, other] : {std::pair(x.arm, y.arm), std::pair(x.seed, y.seed)}) {
    if (natural_less(one, other)) return true;
    if (natural_less(other, one)) return false;
    if (one != other) return one < other;
  }
  return false;
}

bool is_run(const std::filesystem::path& path) {
  const RunDirectory run(path);
  return is_there(run.metrics()) || is_there(run.config());
}

/// The same; what is called like a run and may not be entered is one, too.
bool is_run_or_hidden(const std::filesystem::path& path) {
  try {
    return is_a_directory(path) && is_run(path);
  } catch (const SystemError&) {
    return !split_name(path.filename().string()).seed.empty();
  }
}

}  // namespace

bool is_run_of_study(const std::filesystem::path& path) {
  return !is_set_aside(path.filename().string()) && is_run_or_hidden(path);
}

void note_damage(const Log& log, const std::filesystem::path& path, std::vector<std::string>& problems) {
  for (const Damage& damage : log.damage)
    problems.push_back(fmt::format("'{}', bytes {} to {}: {}", path.string(), damage.offset,
                                   damage.offset + damage.length - 1, damage.what));
  if (log.lost_rows > 0)
    problems.push_back(fmt::format("'{}': {} rows are lost", path.string(), log.lost_rows));
}

const EpochResult* RunResults::last(std::string_view split) const {
  const auto found = std::find_if(epochs.rbegin(), epochs.rend(),
                                  [&](const EpochResult& epoch) { return epoch.split == split; });
  return found == epochs.rend() ? nullptr : &*found;
}

const EpochResult* RunResults::best(std::string_view split) const {
  const EpochResult* best = nullptr;
  for (const EpochResult& epoch : epochs)
    if (epoch.split == split && epoch.accuracy && (best == nullptr || *epoch.accuracy > *best->accuracy))
      best = &epoch;
  return best;
}

std::vector<std::filesystem::path> find_runs(std::span<const std::filesystem::path> paths) {
  std::vector<std::filesystem::path> runs;
  std::set<FileIdentity> seen;
  const auto add = [&](const std::filesystem::path& path) {
    if (seen.insert(identity_of(path)).second) runs.push_back(path);
  };
  for (const std::filesystem::path& given : paths) {
    if (!is_there(given)) throw Error("'{}' does not exist; check the path", given.string());
    const bool climbs = std::find(given.begin(), given.end(), "..") != given.end();  // out of a link, perhaps
    std::filesystem::path path = climbs ? given : given.lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    if (!is_a_directory(path)) path = canonical_path(path).parent_path();  // the log of a run stands for it
    if (path.filename().string().starts_with('.')) path = canonical_path(path);
    if (is_run_or_hidden(path)) {
      add(path);
      continue;
    }
    const std::size_t before = runs.size();
    for (const std::filesystem::path& entry : entries_of(path))
      if (is_run_of_study(entry)) add(entry);
    if (runs.size() == before && seen.empty())
      throw Error("'{}' holds no run: neither it nor a directory in it has a metrics.nlog", given.string());
  }
  std::vector<std::pair<Place, std::filesystem::path>> placed;
  for (std::filesystem::path& run : runs) {
    Place place = place_of(run);
    placed.emplace_back(std::move(place), std::move(run));
  }
  std::ranges::sort(placed, [](const auto& a, const auto& b) {
    if (comes_before(a.first, b.first)) return true;
    return !comes_before(b.first, a.first) && a.second < b.second;
  });
  std::ranges::transform(placed, runs.begin(), [](auto& run) { return std::move(run.second); });
  return runs;
}

std::vector<std::string> unique_names(std::span<const std::filesystem::path> runs) {
  std::map<std::string, int> of_name;
  for (const auto& run : runs) ++of_name[run.filename().string()];
  const bool are_unique = of_name.size() == runs.size();
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const auto& run : runs) {
    const auto whole = absolute_path(run);
    const std::string name = whole.filename().string(), study = whole.parent_path().filename().string();
    std::string unique = are_unique ? name : study + "/" + name;
    for (int number = 2; !taken.insert(unique).second; ++number)
      unique = fmt::format("{}-{}/{}", study, number, name);
    names.push_back(std::move(unique));
  }
  return names;
}

std::vector<std::string> for_each_run(std::span<const std::filesystem::path> runs,
                                      const std::function<void(std::size_t, RunResults, Log)>& use) {
  std::vector<std::string> left_out;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    Log log;
    RunResults results;
    try {
      results = read_run(runs[i], &log);
    } catch (const Error& error) {
      if (runs.size() == 1) throw;
      left_out.push_back(fmt::format("{} is left out: {}", RunDirectory(runs[i]).name(), error.what()));
      continue;
    }
    use(i, std::move(results), std::move(log));
  }
  if (!runs.empty() && left_out.size() == runs.size())
    throw Error("none of the {} runs can be read; the first: {}", runs.size(), left_out.front());
  return left_out;
}

RunResults read_run(const std::filesystem::path& directory, Log* log_out) {
  const RunDirectory files(directory);
  RunResults results;
  results.path = directory;
  results.run = files.name();
  try {
    results.config = RunConfig::read(files.config());
    add_younger_settings(results.config);
  } catch (const SystemError& error) {
    if (error.hides_something()) throw;
    results.problems.push_back(error.what());
  } catch (const Error& error) {
    results.problems.push_back(error.what());
  }
  results.norm = results.config.text("norm");
  results.arm = arm_name(results.config);
  std::string seed = results.config.text("seed");
  if (results.arm.empty() || seed.empty()) {  // then the directory's name is all there is
    const RunName name = split_name(results.run);
    if (results.arm.empty()) results.arm = name.arm;
    if (seed.empty()) seed = name.seed;
  }
  std::from_chars(seed.data(), seed.data() + seed.size(), results.seed);

  results.status = name_of(RunStatus::interrupted);
  if (!is_there(files.metrics())) {
    results.problems.push_back(fmt::format("'{}' is missing", files.metrics().string()));
    return results;
  }
  Log log = read_log(files.metrics());
  if (log.outcome) {
    results.status = name_of(log.outcome->status);
    results.status_message = log.outcome->message;
  }
  results.epochs = epoch_results(log);
  for (const Row& row : log.rows) results.steps_done = std::max(results.steps_done, row.step);
  note_damage(log, files.metrics(), results.problems);
  if (log_out != nullptr) *log_out = std::move(log);
  return results;
}

std::vector<EpochResult> epoch_results(const Log& log) {
  // Which field of which split a channel is.
  struct Target {
    std::size_t split = 0;
    std::optional<double> EpochResult::*field = nullptr;
  };
  std::vector<Target> targets(log.channels.size());
  for (std::size_t i = 0; i < targets.size(); ++i)
    for (std::size_t split = 0; split < splits.size(); ++split) {
      const std::string prefix = std::string(splits[split]) + ".";
      const std::string& name = log.channels[i].name;
      if (name == prefix + "loss") targets[i] = {split, &EpochResult::loss};
      if (name == prefix + "accuracy") targets[i] = {split, &EpochResult::accuracy};
      if (name == prefix + "seconds") targets[i] = {split, &EpochResult::seconds};
    }
  std::map<std::pair<int, std::size_t>, EpochResult> found;
  for (const Row& row : log.rows) {
    const Target target = targets[row.channel];
    const auto values = log.values_of(row);
    if (target.field == nullptr || values.size() != 1) continue;
    EpochResult& epoch = found[{row.epoch, target.split}];
    epoch.epoch = row.epoch;
    epoch.step = row.step;
    epoch.split = splits[target.split];
    epoch.*target.field = values[0];
  }
  std::vector<EpochResult> epochs;
  epochs.reserve(found.size());
  for (auto& [key, epoch] : found) epochs.push_back(std::move(epoch));
  return epochs;
}

std::vector<StepResult> step_results(const Log& log) {
  std::vector<std::optional<double> StepResult::*> fields(log.channels.size(), nullptr);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (log.channels[i].name == "step.loss") fields[i] = &StepResult::loss;
    if (log.channels[i].name == "step.lr") fields[i] = &StepResult::lr;
    if (log.channels[i].name == "step.grad_norm") fields[i] = &StepResult::grad_norm;
  }
  std::vector<StepResult> steps;
  for (const Row& row : log.rows) {
    const auto field = fields[row.channel];
    const auto values = log.values_of(row);
    if (field == nullptr || values.size() != 1) continue;
    if (steps.empty() || steps.back().step != row.step || steps.back().epoch != row.epoch)
      steps.push_back({row.epoch, row.step, {}, {}, {}});
    steps.back().*field = values[0];
  }
  return steps;
}

}  // namespace normlab
