// normlog: looks into what runs have recorded. Exit status 0 done, 1 failed or damaged, 2 wrong usage.

#include <algorithm>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "experiments/options/command_line.hpp"
#include "experiments/options/lists.hpp"
#include "experiments/options/options.hpp"
#include "host/record/compare.hpp"
#include "host/record/csv.hpp"
#include "host/record/file.hpp"
#include "host/record/log_info.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_results.hpp"
#include "host/record/summary.hpp"
#include "host/record/verify.hpp"
#include "host/report/laws.hpp"
#include "host/report/parameter_digest.hpp"
#include "host/report/report.hpp"
#include "host/report/tensorboard.hpp"
#include "host/system/output.hpp"
#include "host/system/paths.hpp"
#include "host/system/shell_word.hpp"
#include "layers/error.hpp"

namespace {

using namespace normlab;
namespace fs = std::filesystem;

using Paths = std::vector<fs::path>;

constexpr const char* description =
    "Reads what Normlab's runs have recorded (runs/<study>/<run>/metrics.nlog).\n\n"
    "  normlog summary runs/latest        the table of a study\n"
    "  normlog csv runs/latest            CSV files for pandas, in runs/latest/csv/\n"
    "  normlog plot runs/latest           pictures (SVG, PNG), each with its data and gnuplot script\n"
    "  normlog report runs/latest         one HTML page with all of it, to read or to send\n"
    "  normlog tensorboard runs/latest    event files, in runs/latest/tensorboard/\n"
    "  normlog compare runs/a runs/b      two studies side by side, paired by norm and seed\n"
    "  normlog verify runs/latest         which files are good, and what damage costs\n"
    "  normlog digest runs/latest         one number for the final parameters of each run\n"
    "  normlog info runs/latest/bn-seed0  what a run holds, and whether it is whole\n\n"
    "Damaged logs are read as far as they go; what is lost is said, and the exit status is 1.";

constexpr const char* data_help =
    "Where the misclassified images come from (default: the data set that the runs name)";

/// What was wrong with what was read; the exit status that it makes.
int report(const std::vector<std::string>& damage, const std::vector<std::string>& left_out = {}) {
  for (const std::string& sentence : damage) say_error("normlog: damage: {}\n", sentence);
  for (const std::string& sentence : left_out) say_error("normlog: {}\n", sentence);
  return damage.empty() && left_out.empty() ? 0 : 1;
}

/// The directory of the one study or run given: where what is made of it goes.
fs::path beside(const Paths& paths) {
  if (paths.size() > 1) throw UsageError("several paths need --out, where the results go");
  return is_a_directory(paths[0]) ? paths[0] : paths[0].parent_path();
}

/// Runs that were read, and what was wrong with them.
struct Runs {
  std::vector<RunResults> runs;
  std::vector<std::string> damage, left_out;

  /// Reads those among or below `paths`.
  explicit Runs(const Paths& paths) {
    left_out = for_each_run(find_runs(paths), [this](std::size_t, RunResults run, const Log&) {
      damage.insert(damage.end(), run.problems.begin(), run.problems.end());
      runs.push_back(std::move(run));
    });
  }
};

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) say("note: {}\n", note);
}

// Each command declares itself on `line`; run() returns the exit status.

constexpr const char* paths_help = "A study, or runs";

struct Csv {
  Paths paths;
  fs::path out;
  bool allow_damage = false;

  void add_to(CommandLine& line) {
    const OptionGroup command =
        line.command("csv", "Write epochs.csv, steps.csv, runs.csv (and layers.csv, histograms.csv)",
                     [this] { return run(); });
    command.add("PATH", &paths, paths_help).required();
    command.add("--out", &out, "Directory for the CSV files (default: csv/ in the study or run)");
    command.flag("--allow-damage", &allow_damage,
                 "Exit with 0 though something was damaged; it is said all the same");
  }

  [[nodiscard]] int run() const {
    const CsvExport done = export_csv(find_runs(paths), out.empty() ? beside(paths) / "csv" : out);
    for (const auto& file : done.files) say("{}\n", file.string());
    print_notes(done.notes);
    const int status = report(done.problems, done.left_out);
    return allow_damage ? 0 : status;
  }
};

struct Summary {
  Paths paths;

  void add_to(CommandLine& line) {
    const OptionGroup command =
        line.command("summary", "Print accuracy, intervals, paired differences and speed for each norm",
                     [this] { return run(); });
    command.add("PATH", &paths, paths_help).required();
  }

  [[nodiscard]] int run() const {
    const Runs found(paths);
    const bool is_of_laws = common_value(found.runs, "experiment") == "init_laws";  // which trains nothing
    say_text(is_of_laws ? laws_text(view_study(paths)) : summary_text(found.runs));
    return report(found.damage, found.left_out);
  }
};

struct Compare {
  fs::path a, b;

  void add_to(CommandLine& line) {
    const OptionGroup command =
        line.command("compare", "Print two studies side by side: accuracy, loss, speed, settings",
                     [this] { return run(); });
    command.add("A", &a, "A study").required();
    command.add("B", &b, "Another, with the same norms and seeds").required();
  }

  [[nodiscard]] int run() const {
    const Runs first({a}), second({b});
    say_text(comparison_text(compare(first.runs, second.runs), a.string(), b.string()));
    const int of_first = report(first.damage, first.left_out);
    return std::max(of_first, report(second.damage, second.left_out));
  }
};

struct Plot {
  Paths paths;
  fs::path out;
  std::string data;
  std::string formats = "svg,png";

  void add_to(CommandLine& line) {
    const OptionGroup command = line.command(
        "plot", "Draw curves, layers, distributions, sweeps, confusion matrices, misclassified images",
        [this] { return run(); });
    command.add("PATH", &paths, paths_help).required();
    command.add("--out", &out, "Directory for the pictures (default: plots/ in the study)");
    command.add("--format", &formats, "svg, png, or both: svg,png").list();
    command.add("--data", &data, data_help);
  }

  [[nodiscard]] int run() const {
    StudyView study = view_study(paths, data);
    std::vector<Picture> pictures;
    for (TopicPicture& made : make_pictures(study, study.notes)) pictures.push_back(std::move(made.picture));
    const auto where = out.empty() ? beside(paths) / "plots" : out;
    const std::vector<std::string> names = word_list("--format", formats);
    for (const auto& file : write_pictures(pictures, where, {names.begin(), names.end()}))
      say("{}\n", file.string());
    print_notes(study.repeats);
    print_notes(study.notes);
    return report(study.problems, study.left_out);
  }
};

struct Report {
  Paths paths;
  fs::path out;
  std::string data;

  void add_to(CommandLine& line) {
    const OptionGroup command = line.command(
        "report", "Write one HTML page: verdict, table, pictures, configuration", [this] { return run(); });
    command.add("PATH", &paths, paths_help).required();
    command.add("--out", &out, "The page (default: report.html in the study, its pictures in plots/)");
    command.add("--data", &data, data_help);
  }

  [[nodiscard]] int run() const {
    StudyView study = view_study(paths, data);
    // A page somewhere else comes alone; the study's own keeps its pictures beside it.
    const bool alone = !out.empty();
    const auto page = alone ? out : beside(paths) / "report.html";
    write_report(study, page, alone ? "" : beside(paths) / "plots");
    say("{}\n", page.string());
    print_notes(study.repeats);
    print_notes(study.notes);
    return report(study.problems, study.left_out);
  }
};

struct Tensorboard {
  Paths paths;
  fs::path out;
  std::string data;

  void add_to(CommandLine& line) {
    const OptionGroup command = line.command(
        "tensorboard", "Write event files for TensorBoard: scalars, histograms, misclassified images",
        [this] { return run(); });
    command.add("PATH", &paths, paths_help).required();
    command.add("--out", &out,
                "Directory for them, one below it for each run (default: tensorboard/ in the\n"
                "study); rows that an earlier export wrote there are not written again");
    command.add("--data", &data, data_help);
  }

  [[nodiscard]] int run() const {
    const auto where = out.empty() ? beside(paths) / "tensorboard" : out;
    const TensorboardExport done = export_tensorboard(paths, where, data);
    for (const auto& file : done.files) say("{}\n", file.string());
    print_notes(done.notes);
    if (done.files.empty()) {
      say("nothing new: {} has all of it\n", where.string());
    } else {
      say("look at it: tensorboard --logdir {}\n", shell_path(where));
    }
    return report(done.problems, done.left_out);
  }
};

struct Verify {
  Paths paths;

  void add_to(CommandLine& line) {
    const OptionGroup command =
        line.command("verify", "Read every byte: say which files are good, and what damage costs",
                     [this] { return run(); });
    command.add("PATH", &paths, "A study, runs, or their files").required();
  }

  [[nodiscard]] int run() const {
    constexpr const char* words[] = {"good", "unfinished", "DAMAGED", "UNREADABLE"};
    int status = 0;
    for (const Verified& file : verify(paths)) {
      say("{:<10}  {}\n", words[static_cast<int>(file.state)], file.path.string());
      for (const std::string& line : file.lines) say("            {}\n", line);
      if (file.state >= Verified::State::damaged) status = 1;
    }
    return status;
  }
};

struct Digests {
  Paths paths;

  void add_to(CommandLine& line) {
    const OptionGroup command = line.command(
        "digest",
        "Print SHA-256 and name of each run: equal where names, shapes and bits of all final parameters are",
        [this] { return run(); });
    command.add("PATH", &paths, paths_help).required();
  }

  [[nodiscard]] int run() const {
    const std::vector<fs::path> runs = find_runs(paths);
    const std::vector<std::string> names = unique_names(runs);
    int status = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      try {
        const fs::path file = RunDirectory(runs[i]).final_parameters();
        if (is_there(file)) {
          say("{}  {}\n", parameter_digest(read_safetensors(file)), names[i]);
          continue;
        }
        say_error("normlog: {}: no final parameters; {}\n", runs[i].string(),
                  read_run(runs[i]).status == "diverged" ? "it diverged" : "finish the run (--resume)");
      } catch (const Error& error) {
        say_error("normlog: {}: {}\n", names[i], error.what());
      }
      status = 1;
    }
    return status;
  }
};

struct Info {
  Paths paths;

  void add_to(CommandLine& line) {
    const OptionGroup command =
        line.command("info", "Print channels, rows, blocks, damage, configuration and parameters",
                     [this] { return run(); });
    command.add("PATH", &paths, "A study, a run, a metrics.nlog or a .safetensors file").required();
  }

  [[nodiscard]] int run() const {
    std::vector<std::string> problems, left_out;
    for (const auto& path : paths) {
      try {
        if (is_a_directory(path)) {
          for (const auto& run : find_runs({{path}})) say("{}\n", run_info(run, problems));
        } else {
          say_text(file_info(path, problems));
        }
      } catch (const Error& error) {
        if (paths.size() == 1) throw;
        left_out.emplace_back(error.what());
      }
    }
    return report(problems, left_out);
  }
};

}  // namespace

int main(int argc, char** argv) {
  CommandLine line("normlog", description);
  std::tuple<Csv, Summary, Compare, Plot, Report, Tensorboard, Verify, Digests, Info> commands;
  std::apply([&](auto&... command) { (command.add_to(line), ...); }, commands);
  return line.run(argc, argv);
}
