#include "experiments/init_laws/law_table.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <optional>
#include <vector>

#include "host/record/statistics.hpp"
#include "host/system/output.hpp"

namespace normlab {

namespace {

/// A figure to reproduce: mean and standard error over 5 seeds of an independent float32 program, and a unit
/// of the last digit given.
struct Figure {
  const char* norm;
  double growth, growth_error, cosine, cosine_error, stable_rank, stable_rank_error, zero_padding_growth;
};
constexpr std::array<Figure, 7> kFigures{{
    {"none", 0.995, 0.006, 0.95, 0.013, 1.05, 0.015, 0.956},
    {"bn", 1.210, 0.0007, 0.32, 0.0005, 3.06, 0.004, 1.188},
    {"ln", 1.020, 0.009, 0.92, 0.016, 1.08, 0.019, 1.020},
    {"gn:2", 1.036, 0.007, 0.88, 0.024, 1.14, 0.031, 1.030},
    {"gn:8", 1.102, 0.004, 0.66, 0.028, 1.51, 0.063, 1.075},
    {"gn:32", 1.182, 0.0007, 0.41, 0.009, 2.41, 0.05, 1.157},
    {"in", 1.222, 0.0005, 0.32, 0.0003, 3.02, 0.002, 1.201},
}};

/// A law of one kind of network over the seeds, and what is known about it.
struct Line {
  std::string padding, norm, law;
  Estimate measured;
  std::optional<double> known;
  double known_error = 0, last_digit = 0;

  [[nodiscard]] double standard_error() const {
    return measured.deviation / std::sqrt(static_cast<double>(measured.n));
  }
  /// Within 6 of the known standard errors plus half a unit of the last digit given.
  [[nodiscard]] bool is_reproduced() const {
    return std::abs(measured.mean - *known) <= 6 * known_error + 0.5 * last_digit;
  }
};

std::optional<Figure> figure_of(const std::string& norm) {
  for (const Figure& figure : kFigures) {
    if (figure.norm == norm) return figure;
  }
  return std::nullopt;
}

/// The lines of the table, from runs that lie together by network.
std::vector<Line> lines_of(std::span<const LawRun> runs) {
  std::vector<Line> lines;
  for (std::size_t first = 0; first < runs.size();) {
    const LawNetwork& network = runs[first].network;
    std::vector<double> growth, cosine, stable_rank;
    for (; first < runs.size() && runs[first].network.norm == network.norm &&
           runs[first].network.circular == network.circular;
         ++first) {
      growth.push_back(runs[first].laws.growth);
      cosine.push_back(runs[first].laws.cosine);
      stable_rank.push_back(runs[first].laws.stable_rank);
    }
    const std::string padding = padding_name(network.circular), norm = network.norm.str();
    lines.push_back({padding, norm, "growth", estimate(growth), {}});
    lines.push_back({padding, norm, "cosine", estimate(cosine), {}});
    lines.push_back({padding, norm, "stable rank", estimate(stable_rank), {}});
    const std::optional<Figure> figure = figure_of(norm);
    if (!figure) continue;
    Line *const rank = &lines.back(), *const cosines = rank - 1, *const growths = rank - 2;
    growths->known = network.circular ? figure->growth : figure->zero_padding_growth;
    growths->known_error = figure->growth_error;
    growths->last_digit = 0.001;
    if (!network.circular) continue;  // nothing is known there but the growth
    cosines->known = figure->cosine;
    cosines->known_error = figure->cosine_error;
    rank->known = figure->stable_rank;
    rank->known_error = figure->stable_rank_error;
    cosines->last_digit = rank->last_digit = 0.01;
  }
  return lines;
}

}  // namespace

void print_table(std::span<const LawRun> runs) {
  const std::vector<Line> lines = lines_of(runs);
  say("\n{:<9} {:<15} {:<12} {:>8} {:>8} {:>8}  {}\n", "padding", "norm", "law", "measured", "error", "known",
      "reproduced");
  int known = 0, reproduced = 0;
  for (const Line& line : lines) {
    say("{:<9} {:<15} {:<12} {:>8.4f} {:>8.4f}", line.padding, line.norm, line.law, line.measured.mean,
        line.standard_error());
    if (line.known) {
      say(" {:>8.{}f}  {}", *line.known, line.last_digit < 0.005 ? 3 : 2,
          line.is_reproduced() ? "yes" : "no");
      known += 1;
      reproduced += line.is_reproduced() ? 1 : 0;
    }
    say("\n");
  }
  if (known > 0) say("\n{} of {} known figures are reproduced.\n", reproduced, known);
  for (const Line& line : lines) {
    if (line.norm != "bn" || line.padding != "circular" || line.law != "growth") continue;
    const double theory = std::sqrt(std::numbers::pi / (std::numbers::pi - 1));
    say("Theory for bn: sqrt(pi / (pi - 1)) = {:.4f}; measured {:.4f}, {:+.2f} %.\n", theory,
        line.measured.mean, 100 * (line.measured.mean / theory - 1));
  }
}

}  // namespace normlab
