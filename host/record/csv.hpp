#pragma once
// The CSV files that people load: epochs.csv, steps.csv, layers.csv, histograms.csv, runs.csv, with the
// columns of docs/formats.md. One granularity a file, one header, LF, floats as %.9g, RFC 4180 quotes where
// needed.

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace normlab {

struct CsvExport {
  std::vector<std::filesystem::path> files;  // what was written
  std::vector<std::string> problems;         // damage that was read around, one sentence each
  std::vector<std::string> left_out;         // runs that could not be read, one sentence each
  std::vector<std::string> notes;            // runs that are there more than once, one sentence each
};

/// Writes the CSV files of these runs into `out`, which is made if need be; each file is replaced whole or
/// not at all. layers.csv and histograms.csv are written only if a run looked inside its network
/// (layers_csv.hpp). Throws Error.
CsvExport export_csv(std::span<const std::filesystem::path> runs, const std::filesystem::path& out);

}  // namespace normlab
