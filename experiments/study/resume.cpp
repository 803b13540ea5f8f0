#include "experiments/study/resume.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "experiments/options/backends.hpp"
#include "experiments/options/lists.hpp"
#include "experiments/options/machine.hpp"
#include "experiments/training/checkpoint.hpp"
#include "host/record/file.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/run_results.hpp"
#include "host/system/paths.hpp"

namespace normlab {

namespace {

/// Of a study's options, what has nothing to do with its results.
const std::vector<std::string> kNotOfTheStudy{"out", "resume", "threads", "jobs", "allow-other-cpu"};

/// Options whose lists make up the runs of a study, beside the seeds.
constexpr const char* kLists[] = {"norms", "groups", "padding", "batch-sizes", "depths",
                                  "inits", "clips",  "lrs",     "widths"};

/// The items of both lists, those of the first in front.
std::string both_lists(const std::string& first, const std::string& second) {
  if (first.empty() || second.empty()) return first + second;
  std::vector<std::string> items = split_list(first);
  for (const std::string& item : split_list(second))
    if (std::ranges::find(items, item) == items.end()) items.push_back(item);
  return join_list(items);
}

/// The seeds of both, as --seeds names them: a number means that many from 0.
std::string both_seeds(const std::string& first, const std::string& second) {
  std::set<std::uint64_t> seeds;
  for (const std::string& text : {first, second})
    for (const std::uint64_t seed : parse_seeds(text)) seeds.insert(seed);
  const bool is_counted = *seeds.rbegin() + 1 == seeds.size();
  if (is_counted) return std::to_string(seeds.size());
  std::vector<std::string> items;
  for (const std::uint64_t seed : seeds) items.push_back(std::to_string(seed));
  return join_list(items);
}

/// Which experiment made the runs that are there; nothing if none says so.
std::string experiment_of(const std::filesystem::path& study) {
  for (const std::filesystem::path& entry : entries_of(study)) {
    if (!is_run_of_study(entry)) continue;
    try {
      const RunDirectory directory(entry);
      if (is_there(directory.config())) return RunConfig::read(directory.config()).text("experiment");
    } catch (const Error&) {  // damaged: another may tell
    }
  }
  return "";
}

/// The option that decides a key of config.toml; none for keys that follow from others.
std::optional<std::string> option_of(std::string_view key) {
  static const std::map<std::string_view, std::string_view> other{{"val_images", "--val"},
                                                                  {"train_images", "--limit-train"},
                                                                  {"test_images", "--limit-test"},
                                                                  {"data_digest", "--data"}};
  static const std::vector<std::string_view> derived{
      "data", "data_note", "classes", "pixel_mean", "pixel_std", "steps", "depth", "swept", "lr_test"};
  if (const auto found = other.find(key); found != other.end()) return std::string(found->second);
  if (std::find(derived.begin(), derived.end(), key) != derived.end()) return std::nullopt;
  std::string option = "--" + std::string(key);
  std::replace(option.begin(), option.end(), '_', '-');
  return option;
}

/// Where a run was made with other options than these, says so; `may_differ` are keys that do not count.
void check_settings(const StudyOptions& options, const std::string& run, const RunConfig& there,
                    const RunConfig& wanted, const std::vector<std::string>& may_differ) {
  std::vector<ConfigEntry> entries = wanted.entries();
  // The number of training images follows from that of those held out.
  std::stable_partition(entries.begin(), entries.end(),
                        [](const ConfigEntry& entry) { return entry.key == "val_images"; });
  for (const ConfigEntry& entry : entries) {
    const std::optional<std::string> option = option_of(entry.key);
    const ConfigValue* value = there.find(entry.key);
    if (!option || value == nullptr || text_of(*value) == text_of(entry.value)) continue;
    if (std::find(may_differ.begin(), may_differ.end(), entry.key) != may_differ.end()) continue;
    if (entry.key == "experiment") {
      throw UsageError("--resume {}: {} was made by {}, this is {}", options.resume, run, text_of(*value),
                       text_of(entry.value));
    }
    if (entry.key == "data_digest") {
      throw UsageError("--resume {}: {} was trained on other images ({}) than --data {} has now",
                       options.resume, run, there.text("data"), options.data);
    }
    throw UsageError(
        "--resume {}: {} was made with {} {}, now it is {}; leave the option out to go on with "
        "that study, or leave --resume out to begin a new one",
        options.resume, run, *option, text_of(*value), text_of(entry.value));
  }
}

/// What a run that did not end can go on from.
struct Start {
  RunDirectory directory;
  std::optional<std::filesystem::path> checkpoint = {};  ///< the newest good one
  CheckpointState state = {};                            ///< of that
  std::vector<std::pair<std::filesystem::path, std::string>> damaged =
      {};                                           ///< newer ones, and why they are no good
  std::string why_anew = "has no good checkpoint";  ///< where there is none
};

/// Whether somebody else's permission is all that is missing: then nothing is known of a run, and it must not
/// be begun anew.
bool is_hidden(const Error& error) {
  const auto* refused = dynamic_cast<const SystemError*>(&error);
  return refused != nullptr && refused->hides_something();
}

Start start_of(const RunDirectory& directory, const RunConfig& settings) {
  Start start{directory};
  const std::vector<std::filesystem::path> checkpoints = directory.checkpoints().newest_first();
  try {
    static_cast<void>(RunConfig::read(directory.config()));
  } catch (const Error& error) {
    if (is_hidden(error)) throw;
    // Then nobody knows on which machine it was begun.
    if (!checkpoints.empty())
      start.why_anew = fmt::format("cannot go on without its config.toml: {}", error.what());
    return start;
  }
  for (const auto& path : checkpoints) {
    CheckpointState state = state_of_checkpoint(path, directory.metrics(), settings);
    if (!state.fault.empty()) {
      start.damaged.emplace_back(path, std::move(state.fault));
      continue;
    }
    start.checkpoint = path;
    start.state = std::move(state);
    break;
  }
  return start;
}

/// What a run left; where its log is no log any more, its problems say so.
RunResults results_of(const RunDirectory& directory, Log& log) {
  try {
    return read_run(directory.path(), &log);
  } catch (const Error& error) {
    if (is_hidden(error)) throw;
    RunResults none;
    none.problems.emplace_back(error.what());
    return none;
  }
}

/// A run that goes on here ends with the bits that it would have had there only with the same build on the
/// same instruction set.
void check_machine(const StudyOptions& options, const RunDirectory& directory, const RunConfig& here) {
  const std::string others = other_machine(RunConfig::read(directory.config()), here);
  if (others.empty() || options.allow_other_cpu) return;
  throw UsageError(
      "--resume {}: {} was begun with {}; its last bits may then be others than those of an undisturbed run. "
      "--allow-other-cpu goes on all the same and marks the run; or move its directory away to begin it anew",
      options.resume, directory.name(), others);
}

}  // namespace

void write_study_file(CommandLine& line, const StudyDirectory& study) {
  const std::filesystem::path file = study.path() / kStudyFile;
  RunConfig values = line.values(kNotOfTheStudy);
  // What was asked before stays asked: a later --resume without options goes on with all of it.
  if (is_there(file)) {
    const RunConfig before = RunConfig::read(file);
    for (const char* list : kLists)
      if (values.find(list) != nullptr) values.set(list, both_lists(before.text(list), values.text(list)));
    values.set("seeds", both_seeds(before.text("seeds"), values.text("seeds")));
  }
  atomic_write_file(file, values.to_toml());
}

void restore_options(CommandLine& line, const StudyOptions& options) {
  if (!options.out.empty()) throw UsageError("--resume goes on in the directory it names; leave --out out");
  const std::filesystem::path file = std::filesystem::path(options.resume) / kStudyFile;
  if (!is_there(file)) {
    throw UsageError(
        "--resume {}: there is no study there ({} is missing); give the directory that a study "
        "printed as its results",
        options.resume, kStudyFile);
  }
  const std::string maker = experiment_of(options.resume);
  if (!maker.empty() && maker != line.program())
    throw UsageError("--resume {}: that study was made by {}, this is {}", options.resume, maker,
                     line.program());
  const bool typed_full = options.full;
  const RunConfig study = RunConfig::read(file);
  if (typed_full && study.text("full") == "false") {
    throw UsageError("--resume {}: that study was made without --full; leave one of the two out",
                     options.resume);
  }
  line.apply_file(file, "--resume");
}

Remaining remaining_runs(const StudyDirectory& study, const StudyOptions& options,
                         std::span<const RunSpec> runs, const Dataset& data) {
  std::map<std::string, const RunSpec*> planned;
  for (const RunSpec& spec : runs) planned.emplace(spec.name(), &spec);
  // What the study varies; runs that are there but not asked for now differ in that alone.
  std::vector<std::string> varied{"norm", "seed", "lr"};
  varied.insert(varied.end(), runs.front().swept.begin(), runs.front().swept.end());
  if (std::find(varied.begin(), varied.end(), "depth") != varied.end()) varied.emplace_back("net");
  for (const std::filesystem::path& entry : entries_of(study.path())) {
    if (!is_run_of_study(entry)) continue;
    const RunDirectory directory(entry);
    // A run may have been killed before it could write its configuration.
    if (!is_there(directory.config())) continue;
    RunConfig there;
    try {
      there = RunConfig::read(directory.config());
      add_younger_settings(there);
    } catch (const Error& error) {
      if (is_hidden(error)) throw;
      continue;  // damaged: see start_of
    }
    const auto spec = planned.find(directory.name());
    const bool is_planned = spec != planned.end();
    check_settings(options, directory.name(), there,
                   settings_of(options, is_planned ? *spec->second : runs.front(), data),
                   is_planned ? std::vector<std::string>{} : varied);
  }
  Remaining remaining;
  const RunConfig here = machine_of(*make_backend(options.device, 1));
  const auto note = [&](const RunDirectory& directory, const std::string& text) {
    remaining.notes.push_back(fmt::format("{}: {}", directory.name(), text));
  };
  std::vector<std::pair<Start, std::int64_t>> begun;  // with the rows that are in the log
  for (const RunSpec& spec : runs) {
    const RunDirectory directory(study.path() / spec.name());
    if (!is_there(directory.path())) {
      remaining.runs.push_back(spec);
      continue;
    }
    Log log;
    const RunResults results = results_of(directory, log);
    if (results.status == "done" || results.status == "diverged") {
      ++remaining.finished;
      for (const std::string& problem : results.problems)
        note(directory, fmt::format("{}, but {}; move its directory away to have it done again",
                                    results.status, problem));
      continue;
    }
    remaining.runs.push_back(spec);
    begun.emplace_back(start_of(directory, settings_of(options, spec, data)), log.rows.size());
    if (begun.back().first.checkpoint) check_machine(options, directory, here);
  }
  for (const auto& [start, rows] : begun) {
    for (const auto& [path, fault] : start.damaged) {
      CheckpointFiles::set_aside(path);
      note(start.directory, fmt::format("{} is set aside: {}", path.filename().string(), fault));
    }
    if (start.checkpoint) {
      ++remaining.begun;
      note(start.directory,
           fmt::format(
               "goes on from {} after step {}{}", start.checkpoint->filename().string(), start.state.steps,
               rows > start.state.rows
                   ? fmt::format("; {} rows logged since are cut and computed again", rows - start.state.rows)
                   : ""));
      if (!start.state.sealed) {
        note(start.directory, fmt::format("{} is of version 1, which has no checksum of the whole: not every "
                                          "change to it would be noticed",
                                          start.checkpoint->filename().string()));
      }
    } else {
      study.set_aside(start.directory.name());
      note(start.directory, start.why_anew + "; it is moved aside and begun anew");
    }
  }
  return remaining;
}

}  // namespace normlab
