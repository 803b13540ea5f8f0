#pragma once
// The metric log: what a run measured, row by row, in a binary file that survives crashes. This header has
// the writer; channel.hpp says what a row is, log_reader.hpp reads, FORMAT.md describes the bytes.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/record/channel.hpp"
#include "host/record/file.hpp"

namespace normlab {

/// Writes one metric log. append() copies the row into a bounded queue; a thread of the writer's own frames,
/// checksums and writes it, so a training step waits for the disk only when the queue is full. What reaches
/// the file depends on the rows alone, never on timing. Rows get to the kernel within about a second, and
/// before flush() returns.
///
/// Errors of the thread (a full disk, ...) are thrown by the next append, flush or close, and by every one
/// after it; they name the file, the remedy, and the step up to which rows are readable.
/// Any number of threads may call at once.
class LogWriter {
 public:
  static constexpr std::size_t default_queue_bytes = std::size_t{1} << 20;

  /// Creates `path`, which must not exist. Throws Error if it does, if it cannot be created, or if a channel
  /// is impossible (empty or repeated name, a shape or labels that do not fit a block of 32 KiB).
  LogWriter(const std::filesystem::path& path, std::vector<Channel> channels,
            std::size_t queue_bytes = default_queue_bytes);
  /// Writes to an open, empty file.
  LogWriter(File file, std::vector<Channel> channels, std::size_t queue_bytes = default_queue_bytes);
  /// Goes on with the log at `path` where it stood at `position`; what follows there is cut off. The bytes
  /// that come out are those of a log that was never interrupted. Throws Error if the log is shorter, or has
  /// other channels.
  LogWriter(const std::filesystem::path& path, std::vector<Channel> channels, const LogPosition& position,
            std::size_t queue_bytes = default_queue_bytes);
  /// Writes what is queued, without an outcome; never throws.
  ~LogWriter();

  /// From now on rows go on to the disk (fdatasync), not only to the kernel: what flush() has acknowledged
  /// survives the loss of power, too, as far as the disk keeps its word. Throws Error.
  void make_durable();

  [[nodiscard]] const std::vector<Channel>& channels() const;
  /// Index of the channel of this name. Throws Error if there is none.
  [[nodiscard]] std::uint32_t channel(std::string_view name) const;

  /// Appends a row to a scalar or time channel. `epoch` counts from 1 (0 = before training), `step` =
  /// optimizer steps done. Throws Error if the channel is of another kind.
  void append(std::uint32_t channel, int epoch, std::int64_t step, double value);
  /// Appends a row of as many values as the shape of the channel has elements. Vectors and histograms are
  /// stored as float.
  void append(std::uint32_t channel, int epoch, std::int64_t step, std::span<const double> values);
  void append(std::uint32_t channel, int epoch, std::int64_t step, std::span<const float> values);
  /// Appends predictions, cut into as many rows as needed.
  void append(std::uint32_t channel, int epoch, std::int64_t step, std::span<const Prediction> predictions);

  /// Returns when everything appended before is with the kernel: it then survives `kill -9`. With other
  /// threads appending, the position is that after some of their rows, too.
  LogPosition flush();
  /// The same, and on the disk (fdatasync): it then survives a power failure, if the disk keeps its word.
  LogPosition sync();
  /// Processor time of the writer's thread until now.
  [[nodiscard]] double cpu_seconds() const;
  /// Records how the run ended and closes the file. `message` says more in words, or is empty; at most 1,000
  /// bytes of it are kept. Nothing can be appended afterwards; a second call does nothing.
  void close(RunStatus status, std::string_view message = "");

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace normlab
