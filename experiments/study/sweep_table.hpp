#pragma once
// What a sweep ends with: a table of norms against the values that were swept.

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/record/run_results.hpp"
#include "host/record/statistics.hpp"

namespace normlab {

/// A run, and the last value of each scalar channel of its log, such as `reestimated.accuracy`.
struct RunFigures {
  RunResults run;
  std::map<std::string, double> last;

  [[nodiscard]] bool finished() const { return run.status == "done"; }
};

/// Those of a study, in the order of the tables.
[[nodiscard]] std::vector<RunFigures> read_figures(const std::filesystem::path& study);

/// What is averaged over seeds; of finished runs only. None: the run has no such number.
using Figure = std::function<std::optional<double>(const RunFigures&)>;

/// The seeds of one norm at one setting.
struct Cell {
  std::string row;     ///< the norm, and what else was swept but for the columns: "none, he, clip 1"
  std::string column;  ///< the value of the columns' key
  std::size_t runs = 0, finished = 0;
  Estimate value;  ///< over the finished ones
};

/// By row, then by column, both in order of appearance. `columns` is a key of config.toml.
[[nodiscard]] std::vector<Cell> cells_of(std::span<const RunFigures> runs, const std::string& columns,
                                         const Figure& figure);

/// Everything there is to say about a table.
struct TableOptions {
  std::string title;
  std::string columns;  ///< the key of config.toml whose values head the columns
  Figure figure;
  std::function<std::string(const Cell&)> text;
};

/// Rows are the norms, or norms at each combination of the other swept keys; columns go by number where they
/// have one.
[[nodiscard]] std::string sweep_table(std::span<const RunFigures> runs, const TableOptions& options);

/// The last value of a channel.
[[nodiscard]] Figure last_of(std::string channel);

/// "71.30 ± 0.52" in percent, as figure_text has it; "diverged" where no seed finished, and how many did
/// where some did not.
[[nodiscard]] std::string percent_text(const Cell& cell);

}  // namespace normlab
