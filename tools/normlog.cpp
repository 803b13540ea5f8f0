// normlog: looks into what runs have recorded. Exit status 0 done, 1 failed or damaged, 2 wrong usage.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "host/record/compare.hpp"
#include "host/record/csv.hpp"
#include "host/record/file.hpp"
#include "host/record/log_info.hpp"
#include "host/record/run_results.hpp"
#include "host/record/summary.hpp"
#include "host/record/verify.hpp"
#include "host/report/report.hpp"
#include "host/report/tensorboard.hpp"
#include "layers/error.hpp"

namespace {

using Paths = std::vector<std::filesystem::path>;

constexpr const char* description =
    "Reads what Normlab's runs have recorded (runs/<study>/<run>/metrics.nlog).\n\n"
    "  normlog summary runs/latest        the table of a study\n"
    "  normlog csv runs/latest            CSV files for pandas, in runs/latest/csv/\n"
    "  normlog plot runs/latest           pictures (SVG, PNG), each with its data and gnuplot script\n"
    "  normlog report runs/latest         one HTML page with all of it, to read or to send\n"
    "  normlog tensorboard runs/latest    event files, in runs/latest/tensorboard/\n"
    "  normlog compare runs/a runs/b      two studies side by side, paired by norm and seed\n"
    "  normlog verify runs/latest         which files are good, and what damage costs\n"
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
std::filesystem::path beside(const Paths& paths) {
  if (paths.size() > 1) throw normlab::UsageError("several paths need --out, where the results go");
  return std::filesystem::is_directory(paths[0]) ? paths[0] : paths[0].parent_path();
}

int csv(const Paths& paths, std::filesystem::path out, bool allow_damage) {
  if (out.empty()) out = beside(paths) / "csv";
  const normlab::CsvExport done = normlab::export_csv(normlab::find_runs(paths), out);
  for (const auto& file : done.files) fmt::print("{}\n", file.string());
  const int status = report(done.problems);
  return allow_damage ? 0 : status;
}

/// The runs among or below `paths`; appends what is damaged to `problems`.
std::vector<normlab::RunResults> read_runs(const Paths& paths, std::vector<std::string>& problems) {
  std::vector<normlab::RunResults> runs;
  for (const auto& directory : normlab::find_runs(paths)) {
    runs.push_back(normlab::read_run(directory));
    problems.insert(problems.end(), runs.back().problems.begin(), runs.back().problems.end());
  }
  return runs;
}

int compare(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::vector<std::string> problems;
  const auto first = read_runs({a}, problems), second = read_runs({b}, problems);
  fmt::print("{}", normlab::comparison_text(normlab::compare(first, second), a.string(), b.string()));
  return report(problems);
}

int summary(const Paths& paths) {
  std::vector<std::string> problems;
  const std::vector<normlab::RunResults> runs = read_runs(paths, problems);
  fmt::print("{}", normlab::summary_text(runs));
  return report(problems);
}

struct PlotOptions {
  std::filesystem::path out;
  std::string data;
  std::vector<std::string> formats{"svg", "png"};
};

int plot(const Paths& paths, const PlotOptions& options) {
  normlab::StudyView study = normlab::view_study(paths, options.data);
  std::vector<normlab::Picture> pictures;
  for (normlab::TopicPicture& made : normlab::make_pictures(study, study.notes))
    pictures.push_back(std::move(made.picture));
  const auto out = options.out.empty() ? beside(paths) / "plots" : options.out;
  const std::set<std::string> formats(options.formats.begin(), options.formats.end());
  for (const auto& file : normlab::write_pictures(pictures, out, formats)) fmt::print("{}\n", file.string());
  for (const std::string& note : study.notes) fmt::print("note: {}\n", note);
  return report(study.problems);
}

struct ReportOptions {
  std::filesystem::path out;
  std::string data;
};

int write_report(const Paths& paths, const ReportOptions& options) {
  normlab::StudyView study = normlab::view_study(paths, options.data);
  // A page somewhere else comes alone; the study's own keeps its pictures beside it.
  const bool alone = !options.out.empty();
  const auto page = alone ? options.out : beside(paths) / "report.html";
  normlab::write_report(study, page, alone ? "" : beside(paths) / "plots");
  fmt::print("{}\n", page.string());
  for (const std::string& note : study.notes) fmt::print("note: {}\n", note);
  return report(study.problems);
}

int verify(const Paths& paths) {
  constexpr const char* words[] = {"good", "unfinished", "DAMAGED"};
  int status = 0;
  for (const normlab::Verified& file : normlab::verify(paths)) {
    fmt::print("{:<10}  {}\n", words[static_cast<int>(file.state)], file.path.string());
    for (const std::string& line : file.lines) fmt::print("            {}\n", line);
    if (file.state == normlab::Verified::State::damaged) status = 1;
  }
  return status;
}

struct TensorboardOptions {
  std::filesystem::path out;
  std::string data;
};

int tensorboard(const Paths& paths, const TensorboardOptions& options) {
  const auto out = options.out.empty() ? beside(paths) / "tensorboard" : options.out;
  const normlab::TensorboardExport done = normlab::export_tensorboard(paths, out, options.data);
  for (const auto& file : done.files) fmt::print("{}\n", file.string());
  for (const std::string& note : done.notes) fmt::print("note: {}\n", note);
  if (done.files.empty()) {
    fmt::print("nothing new: {} has all of it\n", out.string());
  } else {
    fmt::print("look at it: tensorboard --logdir {}\n", out.string());
  }
  return report(done.problems);
}

int info(const Paths& paths) {
  std::vector<std::string> problems;
  for (const auto& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      fmt::print("{}", normlab::file_info(path, problems));
      continue;
    }
    for (const auto& run : normlab::find_runs({{path}})) fmt::print("{}\n", normlab::run_info(run, problems));
  }
  return report(problems);
}

int run(int argc, char** argv) {
  CLI::App app(description, "normlog");
  app.require_subcommand(1);
  Paths paths;
  std::filesystem::path out;
  CLI::App* csv_command = app.add_subcommand("csv", "Write epochs.csv, steps.csv, runs.csv (and layers.csv)");
  csv_command->add_option("PATH", paths, "A study, or runs")->required();
  csv_command->add_option("--out", out, "Directory for the CSV files (default: csv/ in the study or run)");
  bool allow_damage = false;
  csv_command->add_flag("--allow-damage", allow_damage,
                        "Exit with 0 though something was damaged; it is said all the same");
  CLI::App* summary_command =
      app.add_subcommand("summary", "Print accuracy, intervals, paired differences and speed for each norm");
  summary_command->add_option("PATH", paths, "A study, or runs")->required();
  PlotOptions plot_options;
  CLI::App* plot_command =
      app.add_subcommand("plot", "Draw curves, accuracies, confusion matrices and misclassified images");
  plot_command->add_option("PATH", paths, "A study, or runs")->required();
  plot_command->add_option("--out", plot_options.out,
                           "Directory for the pictures (default: plots/ in the study)");
  plot_command->add_option("--format", plot_options.formats, "svg, png, or both (default)")->delimiter(',');
  plot_command->add_option("--data", plot_options.data, data_help);
  ReportOptions report_options;
  CLI::App* report_command =
      app.add_subcommand("report", "Write one HTML page: verdict, table, pictures, configuration");
  report_command->add_option("PATH", paths, "A study, or runs")->required();
  report_command->add_option("--out", report_options.out,
                             "The page (default: report.html in the study, its pictures in plots/)");
  report_command->add_option("--data", report_options.data, data_help);
  CLI::App* verify_command =
      app.add_subcommand("verify", "Read every byte: say which files are good, and what damage costs");
  verify_command->add_option("PATH", paths, "A study, runs, or their files")->required();
  TensorboardOptions tensorboard_options;
  CLI::App* tensorboard_command = app.add_subcommand(
      "tensorboard", "Write event files for TensorBoard: scalars, histograms, misclassified images");
  tensorboard_command->add_option("PATH", paths, "A study, or runs")->required();
  tensorboard_command->add_option(
      "--out", tensorboard_options.out,
      "Directory for them, one below it for each run (default: tensorboard/ in the\n"
      "study); rows that an earlier export wrote there are not written again");
  tensorboard_command->add_option("--data", tensorboard_options.data, data_help);
  std::filesystem::path a, b;
  CLI::App* compare_command =
      app.add_subcommand("compare", "Print what study B does to accuracy, loss and speed of study A");
  compare_command->add_option("A", a, "A study")->required();
  compare_command->add_option("B", b, "Another, with the same norms and seeds")->required();
  CLI::App* info_command =
      app.add_subcommand("info", "Print channels, rows, blocks, damage, configuration and parameters");
  info_command->add_option("PATH", paths, "A study, a run, a metrics.nlog or a .safetensors file")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (csv_command->parsed()) return csv(paths, out, allow_damage);
  if (summary_command->parsed()) return summary(paths);
  if (report_command->parsed()) return write_report(paths, report_options);
  if (compare_command->parsed()) return compare(a, b);
  if (tensorboard_command->parsed()) return tensorboard(paths, tensorboard_options);
  if (plot_command->parsed()) return plot(paths, plot_options);
  if (verify_command->parsed()) return verify(paths);
  return info(paths);
}

int failed(const std::exception& error, int status) {
  std::fprintf(stderr, "normlog: %s\n", error.what());
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const normlab::UsageError& error) {
    return failed(error, 2);
  } catch (const std::exception& error) {
    return failed(error, 1);
  }
}
