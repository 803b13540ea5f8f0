#include "host/report/tensorboard.hpp"

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>

#include "host/record/event_file.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_results.hpp"
#include "host/report/pictures.hpp"
#include "host/report/study_view.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "events.out.tfevents.", suffix = ".normlab";
constexpr std::uint64_t largest_picture = 64 << 20;

std::string file_name(std::size_t first, std::size_t end) {
  return fmt::format("{}{:010}-{:010}{}", prefix, first, end, suffix);
}

/// How many rows earlier exports wrote.
std::size_t exported_rows(const fs::path& directory) {
  std::size_t rows = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::size_t dash = name.rfind('-');
    if (!name.starts_with(prefix) || !name.ends_with(suffix) || dash == std::string::npos) continue;
    std::size_t end = 0;
    const char* last = name.data() + name.size() - suffix.size();
    const auto [stop, error] = std::from_chars(name.data() + dash + 1, last, end);
    if (error == std::errc{} && stop == last) rows = std::max(rows, end);
  }
  return rows;
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

/// A directory that goes away.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "normlab-tensorboard-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_system_error(errno, "create directory", name);
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
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
  const Scratch scratch;
  const std::vector<fs::path> files = write_pictures(pictures, scratch.path(), {"png"});
  for (std::size_t k = 0; k < files.size(); ++k)
    pngs[owners[k]].bytes = read_text_file(files[k], largest_picture);
  return pngs;
}

/// A run of which there is something to export.
struct Pending {
  fs::path path, directory;
  std::size_t done = 0;  ///< rows that earlier exports wrote
};

}  // namespace

TensorboardExport export_tensorboard(std::span<const fs::path> paths, const fs::path& out,
                                     const std::string& data) {
  TensorboardExport result;
  const std::vector<fs::path> runs = find_runs(paths);
  const std::vector<std::string> names = unique_names(runs);
  std::vector<Pending> pending;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const fs::path directory = out / names[i];
    const std::size_t done = exported_rows(directory);
    Log log;
    const RunResults run = read_run(runs[i], &log);
    result.problems.insert(result.problems.end(), run.problems.begin(), run.problems.end());
    if (done < log.rows.size()) pending.push_back({runs[i], directory, done});
  }
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
    std::error_code error;
    fs::create_directories(run.directory, error);
    if (error) throw_system_error(error.value(), "create directory", run.directory);
    const RunDirectory files(run.path);
    const Log log = read_log(files.metrics());  // one at a time in memory
    const fs::path path = run.directory / file_name(run.done, log.rows.size());
    RunExport events(log, path, changed(files.config()), changed(files.metrics()));
    events.rows(run.done);
    if (const auto png = mistakes.find(run.path); png != mistakes.end())
      events.image("misclassified", png->second);
    events.commit();
    result.files.push_back(path);
  }
  return result;
}

}  // namespace normlab
