#pragma once
// Reads metric logs, whole or damaged, and says what was lost. Trusts no length and no count in the file.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/record/metric_log.hpp"

namespace normlab {

/// One row. Its values lie in the Log: see Log::values_of and Log::predictions_of.
struct Row {
  std::uint32_t channel = 0;
  std::int32_t epoch = 0;
  std::int64_t step = 0;
  std::size_t first = 0;  // where its values begin
  std::size_t count = 0;
};

/// A stretch of the file that could not be read.
struct Damage {
  std::uint64_t offset = 0;  // bytes from the beginning of the file
  std::uint64_t length = 0;
  std::string what;
};

struct Outcome {
  RunStatus status = RunStatus::done;
  std::string message;
};

struct Log {
  std::uint32_t version = 0;
  std::vector<Channel> channels;
  std::vector<Row> rows;  // in the order they were appended
  std::vector<double> values;
  std::vector<Prediction> predictions;
  std::optional<Outcome> outcome;  // none: the run is going on or was killed

  std::uint64_t bytes = 0;       // size of the file
  std::uint64_t blocks = 0;      // of 32 KiB, the last one counted though it is partly filled
  std::uint64_t torn_bytes = 0;  // at the end: a record that was being written when the writer died
  std::uint64_t lost_rows = 0;   // rows that damage cost, as far as the blocks after it tell
  std::vector<Damage> damage;    // empty for a good log; a torn tail is not damage

  [[nodiscard]] std::optional<std::uint32_t> find(std::string_view channel) const;
  /// Values of a row; none for predictions, which have a function of their own.
  [[nodiscard]] std::span<const double> values_of(const Row& row) const;
  [[nodiscard]] std::span<const Prediction> predictions_of(const Row& row) const;
  /// All predictions of the last step at which this channel has any, in the order of the images; rows lost to
  /// damage are missing. Empty if there is no such channel.
  [[nodiscard]] std::vector<Prediction> last_predictions(std::string_view channel) const;
};

/// Reads the log. Throws Error if the file is missing, is not a metric log, or was made by a newer Normlab;
/// never for damage, which is reported in the result. `limit`: of its first bytes only.
[[nodiscard]] Log read_log(const std::filesystem::path& path, std::uint64_t limit = UINT64_MAX);
/// The same for a log in memory; `name` stands for the file in errors.
[[nodiscard]] Log read_log(std::span<const std::byte> bytes, std::string_view name);

/// Where two logs differ in channels, rows, values (bit for bit) or outcome: one sentence, empty if they do
/// not. Values of kind time are not compared.
[[nodiscard]] std::string first_difference(const Log& a, const Log& b);

}  // namespace normlab
