#include "experiments/study/usable_rate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "host/record/summary.hpp"
#include "host/record/text_layout.hpp"

namespace normlab {

std::vector<UsableRate> usable_rates(std::span<const RunFigures> runs) {
  const std::vector<Cell> cells = cells_of(runs, "lr", last_of("val.accuracy"));
  const auto rate_of = [](const Cell& cell) { return std::strtod(cell.column.c_str(), nullptr); };
  const auto finished = [](const Cell& cell) { return cell.finished == cell.runs && cell.value.n > 0; };
  std::vector<UsableRate> rates;
  for (const Cell& cell : cells) {
    if (std::none_of(rates.begin(), rates.end(), [&](const UsableRate& r) { return r.arm == cell.row; }))
      rates.push_back({cell.row});
  }
  for (UsableRate& rate : rates) {
    double end = 0;
    for (const Cell& cell : cells) {
      if (cell.row != rate.arm) continue;
      end = std::max(end, rate_of(cell));
      if (!finished(cell) || (rate.best > 0 && cell.value.mean <= rate.accuracy)) continue;
      rate.best = rate_of(cell);
      rate.accuracy = cell.value.mean;
    }
    for (const Cell& cell : cells) {
      if (cell.row != rate.arm || !finished(cell)) continue;
      if (cell.value.mean >= rate.accuracy - usable_within)
        rate.largest = std::max(rate.largest, rate_of(cell));
    }
    rate.at_the_end = rate.largest == end;
  }
  return rates;
}

std::string usable_rates_text(std::span<const UsableRate> rates) {
  std::size_t width = 0;
  for (const UsableRate& rate : rates) width = std::max(width, rate.arm.size());
  std::string text = wrapped(
      fmt::format(
          "largest usable rate: every seed finished, within {} points of the norm's best on held-out images",
          100 * usable_within),
      2);
  for (const UsableRate& rate : rates) {
    text += fmt::format("  {:<{}}  ", rate.arm, width);
    text += rate.best == 0 ? "none: it diverged everywhere\n"
                           : fmt::format("{:<6}{} best at {} ({:.2f} %)\n", rate.largest,
                                         rate.at_the_end ? " (the end of the grid)," : ",", rate.best,
                                         100 * rate.accuracy);
  }
  return text;
}

}  // namespace normlab
