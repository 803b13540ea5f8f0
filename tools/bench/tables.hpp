#pragma once
// What bench prints: tables for people, CSV for programs.

#include <string>

#include "tools/bench/subject.hpp"

namespace normlab::bench {

/// CPU, network, and the machine's limits in the same minutes.
[[nodiscard]] std::string heading(const Results& results);
/// What the plans of all cells had to say, a line each; empty as a rule.
[[nodiscard]] std::string notes(const Results& results);
/// A row for each cell: rates, percent of peak, evaluation, memory; with several batch sizes or threads their
/// ratios, round by round.
[[nodiscard]] std::string cell_table(const Results& results);
[[nodiscard]] std::string cell_csv(const Results& results);
/// Each cell's layers, then one table of all cells by phase.
[[nodiscard]] std::string layer_tables(const Results& results);
/// A row for each cell, layer and phase.
[[nodiscard]] std::string layer_csv(const Results& results);

}  // namespace normlab::bench
