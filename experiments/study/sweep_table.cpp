#include "experiments/study/sweep_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "experiments/options/lists.hpp"
#include "experiments/options/options.hpp"
#include "host/record/figure_text.hpp"
#include "host/record/text_layout.hpp"
#include "host/system/output.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

std::string row_of(const RunResults& run, const std::string& columns) {
  std::string row = run.norm;
  const std::string swept = run.config.text("swept");
  if (swept.empty()) return row;
  for (const std::string& key : split_list(swept)) {
    if (key == columns) continue;
    row += key == "init" ? ", " : fmt::format(", {} ", key);
    row += run.config.text(key);
  }
  return row;
}

void add(std::vector<std::string>& to, const std::string& value) {
  if (std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
}

}  // namespace

std::vector<RunFigures> read_figures(const std::filesystem::path& study) {
  std::vector<RunFigures> all;
  const std::vector<std::string> left_out = for_each_run(
      find_runs(std::vector<std::filesystem::path>{study}), [&](std::size_t, RunResults run, const Log& log) {
        RunFigures figures{std::move(run), {}};
        for (const Row& row : log.rows) {
          const Channel& channel = log.channels[row.channel];
          if (channel.kind == ChannelKind::scalar) figures.last[channel.name] = log.values_of(row)[0];
        }
        all.push_back(std::move(figures));
      });
  for (const std::string& sentence : left_out) say_error("{}\n", sentence);
  return all;
}

std::vector<Cell> cells_of(std::span<const RunFigures> runs, const std::string& columns,
                           const Figure& figure) {
  std::vector<Cell> cells;
  std::vector<std::vector<double>> values;
  for (const RunFigures& figures : runs) {
    const std::string row = row_of(figures.run, columns), column = figures.run.config.text(columns);
    auto cell = std::find_if(cells.begin(), cells.end(),
                             [&](const Cell& known) { return known.row == row && known.column == column; });
    if (cell == cells.end()) {
      cell = cells.insert(cells.end(), {row, column, 0, 0, {}});
      values.emplace_back();
    }
    ++cell->runs;
    if (!figures.finished()) continue;
    ++cell->finished;
    if (const auto value = figure(figures)) values[as_size(cell - cells.begin())].push_back(*value);
  }
  for (std::size_t i = 0; i < cells.size(); ++i) cells[i].value = estimate(values[i]);
  return cells;
}

std::string sweep_table(std::span<const RunFigures> runs, const TableOptions& options) {
  const std::vector<Cell> cells = cells_of(runs, options.columns, options.figure);
  std::vector<std::string> rows, columns;
  for (const Cell& cell : cells) {
    add(rows, cell.row);
    add(columns, cell.column);
  }
  std::stable_sort(columns.begin(), columns.end(), [](const std::string& a, const std::string& b) {
    return std::strtod(a.c_str(), nullptr) < std::strtod(b.c_str(), nullptr);
  });
  TextColumn names{options.columns, true, rows};
  int room = terminal_width - text_width(names.head);
  for (const std::string& row : rows) room = std::min(room, terminal_width - text_width(row));
  // As many columns as fit, then the others below them.
  std::string result = wrapped(options.title, 0);
  std::vector<TextColumn> part{names};
  int used = 0;
  for (const std::string& column : columns) {
    TextColumn next{column, false, {}};
    int width = text_width(column);
    for (const std::string& row : rows) {
      const auto cell = std::find_if(cells.begin(), cells.end(), [&](const Cell& known) {
        return known.row == row && known.column == column;
      });
      next.cells.push_back(cell == cells.end() ? "" : options.text(*cell));
      width = std::max(width, text_width(next.cells.back()));
    }
    if (part.size() > 1 && used + 2 + width > room) {
      result += text_table(std::move(part)).text + "\n";
      part = {names};
      used = 0;
    }
    used += 2 + width;
    part.push_back(std::move(next));
  }
  return result + text_table(std::move(part)).text;
}

Figure last_of(std::string channel) {
  return [channel = std::move(channel)](const RunFigures& figures) {
    const auto found = figures.last.find(channel);
    return found == figures.last.end() ? std::nullopt : std::optional(found->second);
  };
}

std::string percent_text(const Cell& cell) {
  if (cell.finished == 0) return "diverged";
  if (cell.value.n == 0) return "-";
  std::string text = figure_text(cell.value, accuracy_style);
  if (cell.finished < cell.runs) text += fmt::format(" ({} of {})", cell.finished, cell.runs);
  return text;
}

}  // namespace normlab
