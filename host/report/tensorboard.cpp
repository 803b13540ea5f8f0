#include "host/report/tensorboard.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string_view>
#include <system_error>

#include "host/data/digest.hpp"
#include "host/record/event_file.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_identity.hpp"
#include "host/record/run_results.hpp"
#include "host/report/pictures.hpp"
#include "host/report/study_view.hpp"
#include "host/system/paths.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "events.out.tfevents.", suffix = ".normlab";
constexpr std::uint64_t largest_picture = 64 << 20;

/// Twelve digits tell two runs apart.
std::string short_hex(Digest digest) {
  return std::move(digest).hex().substr(0, 12);
}

void add_text(Digest& digest, std::string_view text) {
  digest.add({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

/// Of what decides a run's result.
std::string settings_digest(const RunResults& run) {
  Digest digest(Digest::Kind::sha256);
  add_text(digest, fmt::format("{} {}\n", run.norm, run.seed));
  for (const auto& [key, value] : deciding_settings(run.config))
    add_text(digest, fmt::format("{} = {}\n", key, value));
  return short_hex(std::move(digest));
}

/// Of the first `count` rows, but for times, which a resumed run measures anew.
std::string rows_digest(const Log& log, std::size_t count) {
  Digest digest(Digest::Kind::sha256);
  for (const Row& row : std::span(log.rows).first(count)) {
    const Channel& channel = log.channels[row.channel];
    if (channel.kind == ChannelKind::time) continue;
    add_text(digest, fmt::format("{} {} {}\n", channel.name, row.epoch, row.step));
    const auto values = std::as_bytes(log.values_of(row));
    digest.add({reinterpret_cast<const std::uint8_t*>(values.data()), values.size()});
  }
  return short_hex(std::move(digest));
}

/// What the name of an event file says of its contents.
struct Exported {
  std::size_t first = 0, end = 0;  ///< rows
  std::string settings, rows;      ///< digests

  [[nodiscard]] std::string file_name() const {
    return fmt::format("{}{:010}-{:010}.{}-{}{}", prefix, first, end, settings, rows, suffix);
  }
  /// None for a file that no export made, or an older version's.
  static std::optional<Exported> parse(const std::string& name) {
    static const std::regex form(
        R"(events\.out\.tfevents\.(\d{10})-(\d{10})\.([0-9a-f]{12})-([0-9a-f]{12})\.normlab)");
    std::smatch match;
    if (!std::regex_match(name, match, form)) return std::nullopt;
    return Exported{std::stoull(match[1]), std::stoull(match[2]), match[3], match[4]};
  }
};

/// What earlier exports left in a directory, from a run's point of view.
struct Place {
  bool is_free = true;       ///< there is nothing of anybody's
  bool is_ours = true;       ///< nothing there is of another run
  bool is_unknown = false;   ///< an older version exported there, which did not say which run
  std::size_t exported = 0;  ///< rows of this run that are there
};

Place place_for(const Log& log, const std::string& settings, const fs::path& directory) {
  Place place;
  if (!is_there(directory)) return place;
  std::optional<Exported> known;  // the last export whose rows can be compared with the log's
  for (const fs::path& path : entries_of(directory)) {
    const std::string name = path.filename().string();
    if (!name.starts_with(prefix)) continue;
    place.is_free = false;
    const std::optional<Exported> exported = Exported::parse(name);
    if (!exported || exported->settings != settings) return {false, false, !exported, 0};
    place.exported = std::max(place.exported, exported->end);
    if (exported->end <= log.rows.size() && (!known || known->end < exported->end)) known = exported;
  }
  if (known && rows_digest(log, known->end) != known->rows) return {false, false, false, 0};
  return place;
}

/// Seconds since 1970; 0 for a file that is not there.
double changed(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  return static_cast<double>(status.st_mtim.tv_sec) + 1e-9 * static_cast<double>(status.st_mtim.tv_nsec);
}

/// "test.loss" is loss/test: TensorBoard then draws the splits of a metric side by side. Of other channels
/// what stands before the first dot is the group; of a vector the whole name is.
std::string tag_of(const Channel& channel) {
  const std::string& name = channel.name;
  const std::size_t dot = name.find('.');
  if (channel.kind == ChannelKind::vector || dot == std::string::npos) return name;
  const std::string front = name.substr(0, dot), back = name.substr(dot + 1);
  const bool is_split = front == "train" || front == "val" || front == "test";
  return is_split ? back + "/" + front : front + "/" + back;
}

struct Png {
  std::string bytes;
  int width = 0, height = 0;
};

/// One run's way into an event file.
class RunExport {
 public:
  RunExport(const Log& log, const fs::path& path, double begin, double end)
      : log_(log), begin_(begin), end_(std::max(begin, end)), file_(path, begin) {
    for (const Channel& channel : log.channels) tags_.push_back(tag_of(channel));
  }

  void rows(std::size_t first) {
    for (std::size_t i = first; i < log_.rows.size(); ++i) row(log_.rows[i], wall(i));
  }
  void image(const std::string& tag, const Png& png) {
    const std::int64_t step = log_.rows.empty() ? 0 : log_.rows.back().step;
    file_.image(end_, step, tag, png.width, png.height, png.bytes);
  }
  void commit() { file_.commit(); }

 private:
  [[nodiscard]] double wall(std::size_t row) const {
    return begin_ + (end_ - begin_) * static_cast<double>(row + 1) / static_cast<double>(log_.rows.size());
  }

  void row(const Row& row, double wall) {
    const Channel& channel = log_.channels[row.channel];
    const std::string& tag = tags_[row.channel];
    const auto values = log_.values_of(row);
    switch (channel.kind) {
      case ChannelKind::scalar:
      case ChannelKind::time:
        if (values.size() == 1) file_.scalar(wall, row.step, tag, values[0]);
        break;
      case ChannelKind::vector:
        for (std::size_t i = 0; i < values.size(); ++i) {
          const std::string label = i < channel.labels.size() ? channel.labels[i] : std::to_string(i);
          file_.scalar(wall, row.step, tag + "/" + label, values[i]);
        }
        break;
      case ChannelKind::histogram:  // lowest, highest, counts; nothing finite was counted where they are no
                                    // numbers
        if (values.size() > 2 && std::isfinite(values[0]) && std::isfinite(values[1]))
          file_.histogram(wall, row.step, tag, {values[0], values[1], values.subspan(2)});
        break;
      case ChannelKind::prediction:
        break;
    }
  }

  const Log& log_;
  std::vector<std::string> tags_;
  double begin_, end_;
  EventFile file_;
};

/// The grids of misclassified images of the runs of a study that have any, by the directory of the run.
std::map<fs::path, Png> draw_mistakes(const StudyView& study) {
  std::map<fs::path, Png> pngs;
  std::vector<Picture> pictures;
  std::vector<fs::path> owners;
  for (const ArmView& arm : study.arms) {
    for (const RunView* run : arm.runs) {
      std::optional<Picture> picture =
          misclassified_picture(study, arm, *run, std::to_string(pictures.size()));
      if (!picture) continue;
      Png& png = pngs[run->results.path];
      png.width = 2 * picture->width;
      png.height = 2 * picture->height;
      pictures.push_back(std::move(*picture));
      owners.push_back(run->results.path);
    }
  }
  if (pictures.empty()) return pngs;
  const ScratchDirectory scratch;
  const std::vector<fs::path> files = write_pictures(pictures, scratch.path(), {"png"});
  for (std::size_t k = 0; k < files.size(); ++k)
    pngs[owners[k]].bytes = read_text_file(files[k], largest_picture);
  return pngs;
}

/// A run of which there is something to export.
struct Pending {
  fs::path path, directory;
  Exported rows;
};

/// Hands out directories, each once: <out>/<name>, or where that has another run's curves
/// <out>/<study>/<run>, <study>-2, ...; where an earlier export put the same run, it stays.
class Places {
 public:
  explicit Places(fs::path out) : out_(std::move(out)) {}

  std::pair<fs::path, Place> find(const std::string& name, const fs::path& run, const Log& log,
                                  const std::string& settings) {
    const fs::path whole = absolute_path(run);
    const std::string study = whole.parent_path().filename().string();
    std::vector<fs::path> candidates{out_ / name, out_ / whole.filename(), out_ / study / whole.filename()};
    for (int number = 2; is_there(candidates.back()) || taken_.contains(candidates.back()); ++number)
      candidates.push_back(out_ / fmt::format("{}-{}", study, number) / whole.filename());
    std::optional<std::pair<fs::path, Place>> chosen;
    for (const fs::path& candidate : candidates) {
      if (taken_.contains(candidate)) continue;
      const Place place = place_for(log, settings, candidate);
      const bool is_kept = place.is_ours && !place.is_free;
      if (is_kept || (place.is_free && !chosen)) chosen = {candidate, place};
      if (is_kept) break;
    }
    taken_.insert(chosen->first);
    return *chosen;
  }

 private:
  const fs::path out_;
  std::set<fs::path> taken_;
};

}  // namespace

TensorboardExport export_tensorboard(std::span<const fs::path> paths, const fs::path& out,
                                     const std::string& data) {
  TensorboardExport result;
  const std::vector<fs::path> runs = find_runs(paths);
  const std::vector<std::string> names = unique_names(runs);
  std::vector<Pending> pending;
  Places places(out);
  result.left_out = for_each_run(runs, [&](std::size_t i, const RunResults& run, const Log& log) {
    result.problems.insert(result.problems.end(), run.problems.begin(), run.problems.end());
    const std::string settings = settings_digest(run);
    const auto [directory, place] = places.find(names[i], runs[i], log, settings);
    if (const fs::path usual = out / names[i]; place.is_free && directory != usual) {
      const bool is_unknown = place_for(log, settings, usual).is_unknown;
      result.notes.push_back(fmt::format(
          "{} has curves {}; those of '{}' are in {}", usual.string(),
          is_unknown
              ? "that an older version exported without saying of which run: remove it if they are the same"
              : "of another run",
          runs[i].string(), directory.string()));
    }
    if (place.exported > log.rows.size())
      result.notes.push_back(fmt::format(
          "{} has {} rows of '{}', which now has {}, as after going on from a checkpoint: what is "
          "new follows when there are more",
          directory.string(), place.exported, runs[i].string(), log.rows.size()));
    if (place.exported >= log.rows.size()) return;
    pending.push_back(
        {runs[i], directory, {place.exported, log.rows.size(), settings, rows_digest(log, log.rows.size())}});
  });
  if (pending.empty()) return result;

  // Each study by itself: nothing here is averaged over runs.
  std::map<fs::path, std::vector<fs::path>> studies;
  for (const Pending& run : pending) studies[run.path.parent_path()].push_back(run.path);
  std::map<fs::path, Png> mistakes;
  for (const auto& [path, its_runs] : studies) {
    const StudyView study = view_study(its_runs, data);
    result.notes.insert(result.notes.end(), study.notes.begin(), study.notes.end());
    mistakes.merge(draw_mistakes(study));
  }
  for (const Pending& run : pending) {
    make_directories(run.directory);
    const RunDirectory files(run.path);
    Log log = read_log(files.metrics());                       // one at a time in memory
    log.rows.resize(std::min(log.rows.size(), run.rows.end));  // a run that goes on has more by now
    const fs::path path = run.directory / run.rows.file_name();
    RunExport events(log, path, changed(files.config()), changed(files.metrics()));
    events.rows(run.rows.first);
    if (const auto png = mistakes.find(run.path); png != mistakes.end())
      events.image("misclassified", png->second);
    events.commit();
    result.files.push_back(path);
  }
  return result;
}

}  // namespace normlab
