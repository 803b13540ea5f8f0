// normlog: looks into what runs have recorded. Exit status 0 done, 1 failed or damaged, 2 wrong usage.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "experiments/common/command_line.hpp"
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

/// Prints the problems; the exit status that they make.
int report(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) fmt::print(stderr, "normlog: damage: {}\n", problem);
  return problems.empty() ? 0 : 1;
}

/// The directory of the one study or run given: where what is made of it goes.
fs::path beside(const Paths& paths) {
  if (paths.size() > 1) throw UsageError("several paths need --out, where the results go");
  return fs::is_directory(paths[0]) ? paths[0] : paths[0].parent_path();
}

/// The runs among or below `paths`; appends what is damaged to `problems`.
std::vector<RunResults> read_runs(const Paths& paths, std::vector<std::string>& problems) {
  std::vector<RunResults> runs;
  for (const auto& directory : find_runs(paths)) {
    runs.push_back(read_run(directory));
    problems.insert(problems.end(), runs.back().problems.begin(), runs.back().problems.end());
  }
  return runs;
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) fmt::print("note: {}\n", note);
}

// Each command declares itself on `app`, and runs; run() returns the exit status.

constexpr const char* paths_help = "A study, or runs";

struct Csv {
  Paths paths;
  fs::path out;
  bool allow_damage = false;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("csv", "Write epochs.csv, steps.csv, runs.csv (and layers.csv, histograms.csv)");
    command->add_option("PATH", paths, paths_help)->required();
    command->add_option("--out", out, "Directory for the CSV files (default: csv/ in the study or run)");
    command->add_flag("--allow-damage", allow_damage,
                      "Exit with 0 though something was damaged; it is said all the same");
    return command;
  }

  [[nodiscard]] int run() const {
    const CsvExport done = export_csv(find_runs(paths), out.empty() ? beside(paths) / "csv" : out);
    for (const auto& file : done.files) fmt::print("{}\n", file.string());
    print_notes(done.notes);
    const int status = report(done.problems);
    return allow_damage ? 0 : status;
  }
};

struct Summary {
  Paths paths;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "summary", "Print accuracy, intervals, paired differences and speed for each norm");
    command->add_option("PATH", paths, paths_help)->required();
    return command;
  }

  [[nodiscard]] int run() const {
    std::vector<std::string> problems;
    const std::vector<RunResults> runs = read_runs(paths, problems);
    const bool is_of_laws = common_value(runs, "experiment") == "init_laws";  // which trains nothing
    fmt::print("{}", is_of_laws ? laws_text(view_study(paths)) : summary_text(runs));
    return report(problems);
  }
};

struct Compare {
  fs::path a, b;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("compare", "Print two studies side by side: accuracy, loss, speed, settings");
    command->add_option("A", a, "A study")->required();
    command->add_option("B", b, "Another, with the same norms and seeds")->required();
    return command;
  }

  [[nodiscard]] int run() const {
    std::vector<std::string> problems;
    const auto first = read_runs({a}, problems), second = read_runs({b}, problems);
    fmt::print("{}", comparison_text(compare(first, second), a.string(), b.string()));
    return report(problems);
  }
};

struct Plot {
  Paths paths;
  fs::path out;
  std::string data;
  std::vector<std::string> formats{"svg", "png"};

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "plot", "Draw curves, layers, distributions, sweeps, confusion matrices, misclassified images");
    command->add_option("PATH", paths, paths_help)->required();
    command->add_option("--out", out, "Directory for the pictures (default: plots/ in the study)");
    command->add_option("--format", formats, "svg, png, or both (default)")->delimiter(',');
    command->add_option("--data", data, data_help);
    return command;
  }

  [[nodiscard]] int run() const {
    StudyView study = view_study(paths, data);
    std::vector<Picture> pictures;
    for (TopicPicture& made : make_pictures(study, study.notes)) pictures.push_back(std::move(made.picture));
    const auto where = out.empty() ? beside(paths) / "plots" : out;
    for (const auto& file : write_pictures(pictures, where, {formats.begin(), formats.end()}))
      fmt::print("{}\n", file.string());
    print_notes(study.repeats);
    print_notes(study.notes);
    return report(study.problems);
  }
};

struct Report {
  Paths paths;
  fs::path out;
  std::string data;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("report", "Write one HTML page: verdict, table, pictures, configuration");
    command->add_option("PATH", paths, paths_help)->required();
    command->add_option("--out", out, "The page (default: report.html in the study, its pictures in plots/)");
    command->add_option("--data", data, data_help);
    return command;
  }

  [[nodiscard]] int run() const {
    StudyView study = view_study(paths, data);
    // A page somewhere else comes alone; the study's own keeps its pictures beside it.
    const bool alone = !out.empty();
    const auto page = alone ? out : beside(paths) / "report.html";
    write_report(study, page, alone ? "" : beside(paths) / "plots");
    fmt::print("{}\n", page.string());
    print_notes(study.repeats);
    print_notes(study.notes);
    return report(study.problems);
  }
};

struct Tensorboard {
  Paths paths;
  fs::path out;
  std::string data;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "tensorboard", "Write event files for TensorBoard: scalars, histograms, misclassified images");
    command->add_option("PATH", paths, paths_help)->required();
    command->add_option("--out", out,
                        "Directory for them, one below it for each run (default: tensorboard/ in the\n"
                        "study); rows that an earlier export wrote there are not written again");
    command->add_option("--data", data, data_help);
    return command;
  }

  [[nodiscard]] int run() const {
    const auto where = out.empty() ? beside(paths) / "tensorboard" : out;
    const TensorboardExport done = export_tensorboard(paths, where, data);
    for (const auto& file : done.files) fmt::print("{}\n", file.string());
    print_notes(done.notes);
    if (done.files.empty()) {
      fmt::print("nothing new: {} has all of it\n", where.string());
    } else {
      fmt::print("look at it: tensorboard --logdir {}\n", where.string());
    }
    return report(done.problems);
  }
};

struct Verify {
  Paths paths;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("verify", "Read every byte: say which files are good, and what damage costs");
    command->add_option("PATH", paths, "A study, runs, or their files")->required();
    return command;
  }

  [[nodiscard]] int run() const {
    constexpr const char* words[] = {"good", "unfinished", "DAMAGED"};
    int status = 0;
    for (const Verified& file : verify(paths)) {
      fmt::print("{:<10}  {}\n", words[static_cast<int>(file.state)], file.path.string());
      for (const std::string& line : file.lines) fmt::print("            {}\n", line);
      if (file.state == Verified::State::damaged) status = 1;
    }
    return status;
  }
};

struct Digests {
  Paths paths;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "digest",
        "Print SHA-256 and name of each run: equal where names, shapes and bits of all final parameters are");
    command->add_option("PATH", paths, paths_help)->required();
    return command;
  }

  [[nodiscard]] int run() const {
    const std::vector<fs::path> runs = find_runs(paths);
    const std::vector<std::string> names = unique_names(runs);
    int status = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const fs::path file = RunDirectory(runs[i]).final_parameters();
      if (fs::exists(file)) {
        fmt::print("{}  {}\n", parameter_digest(read_safetensors(file)), names[i]);
      } else {
        const std::string ended = read_run(runs[i]).status;
        fmt::print(stderr, "normlog: {}: no final parameters; {}\n", runs[i].string(),
                   ended == "diverged" ? "it diverged" : "finish the run (--resume)");
        status = 1;
      }
    }
    return status;
  }
};

struct Info {
  Paths paths;

  CLI::App* add_to(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("info", "Print channels, rows, blocks, damage, configuration and parameters");
    command->add_option("PATH", paths, "A study, a run, a metrics.nlog or a .safetensors file")->required();
    return command;
  }

  [[nodiscard]] int run() const {
    std::vector<std::string> problems;
    for (const auto& path : paths) {
      if (!fs::is_directory(path)) {
        fmt::print("{}", file_info(path, problems));
        continue;
      }
      for (const auto& run : find_runs({{path}})) fmt::print("{}\n", run_info(run, problems));
    }
    return report(problems);
  }
};

int run(int argc, char** argv) {
  CLI::App app(description, "normlog");
  app.require_subcommand(1);
  std::tuple<Csv, Summary, Compare, Plot, Report, Tensorboard, Verify, Digests, Info> commands;
  std::vector<std::pair<CLI::App*, std::function<int()>>> known;
  std::apply([&](auto&... one) { (known.emplace_back(one.add_to(app), [&one] { return one.run(); }), ...); },
             commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return refusal(app, error);
  }
  for (const auto& [command, body] : known) {
    if (command->parsed()) return body();
  }
  return 2;
}

int failed(const std::exception& error, int status) {
  std::fprintf(stderr, "normlog: %s\n", error.what());
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const UsageError& error) {
    return failed(error, 2);
  } catch (const std::exception& error) {
    return failed(error, 1);
  }
}
