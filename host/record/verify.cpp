#include "host/record/verify.hpp"

#include <fmt/format.h>

#include <optional>

#include "host/record/log_format.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_results.hpp"
#include "host/record/safetensors.hpp"
#include "host/system/paths.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

using State = Verified::State;

Verified damaged(const std::filesystem::path& path, std::string line) {
  return {path, State::damaged, {std::move(line)}};
}

Verified unreadable(const std::filesystem::path& path, const SystemError& error) {
  return {path, State::unreadable, {error.what()}};
}

Verified verify_log(const std::filesystem::path& path) {
  const Log log = read_log(path);
  Verified result{path, State::good, {}};
  const std::string contents =
      fmt::format("{} rows in {} blocks of 32 KiB, {}", log.rows.size(), log.blocks,
                  log.outcome ? std::string(name_of(log.outcome->status)) : "without an end");
  if (!log.damage.empty() || log.lost_rows > 0) {
    result.state = State::damaged;
    for (const Damage& damage : log.damage) {
      result.lines.push_back(fmt::format("bytes {} to {} (block {}): {}", damage.offset,
                                         damage.offset + damage.length - 1,
                                         damage.offset / log_format::block_bytes, damage.what));
    }
    // Rows are counted by the block after them.
    const bool is_last =
        !log.damage.empty() && log.damage.back().offset / log_format::block_bytes == log.blocks - 1;
    result.lines.push_back(fmt::format("{} rows are lost{}; what can be read: {}", log.lost_rows,
                                       is_last ? ", and those at the end, which nothing counts" : "",
                                       contents));
    return result;
  }
  result.lines.push_back(contents);
  if (!log.outcome) {
    result.state = State::unfinished;
    result.lines.push_back("its run is going on, or was killed; nothing that was written whole is lost");
  }
  if (log.torn_bytes > 0) {
    result.lines.push_back(
        fmt::format("the last {} bytes are a record that was being written", log.torn_bytes));
  }
  return result;
}

Verified verify_contents(const std::filesystem::path& path) {
  if (path.extension() == ".toml") {
    return {path, State::good, {fmt::format("{} keys", RunConfig::read(path).entries().size())}};
  }
  if (path.extension() != ".safetensors") return verify_log(path);
  const TensorFile file = read_safetensors(path);
  std::size_t bytes = 0;
  for (const NamedTensor& tensor : file.tensors) bytes += tensor.data.size();
  return {path,
          State::good,
          {fmt::format("{} tensors, {} bytes, {}", file.tensors.size(), bytes, checksums_text(file))}};
}

/// Bytes that the log of a run had when this checkpoint was made; 0 where it does not say.
std::uint64_t logged_before(const std::filesystem::path& checkpoint) {
  try {
    const TensorFile file = read_safetensors(checkpoint);
    const NamedTensor* counters = file.find("position.counters");
    return counters == nullptr ? 0 : static_cast<std::uint64_t>(counters->integers().at(5));
  } catch (const std::exception&) {
    return 0;
  }
}

bool is_readable(const Verified& file) {
  return file.state == State::good || file.state == State::unfinished;
}

void verify_files_of(const std::filesystem::path& run, std::vector<Verified>& results) {
  const RunDirectory files(run);
  static_cast<void>(is_there(files.config()));  // throws where the directory may not be entered
  bool is_done = false;
  std::vector<std::filesystem::path> paths{files.config(), files.metrics(), files.final_parameters()};
  for (auto& checkpoint : files.checkpoints().newest_first()) paths.push_back(std::move(checkpoint));
  for (const auto& path : paths) {
    const bool is_missing = !is_there(path);
    const bool is_needed =
        path == files.config() || path == files.metrics() || (path == files.final_parameters() && is_done);
    if (is_missing && !is_needed) continue;
    if (is_missing) {
      results.push_back(damaged(path, "missing"));
      continue;
    }
    results.push_back(verify_file(path));
    if (path != files.metrics()) continue;
    const Log log = is_readable(results.back()) ? read_log(path) : Log{};
    is_done = log.outcome && log.outcome->status == RunStatus::done;
  }
  // A checkpoint is written after what was logged before it.
  for (Verified& found : results) {
    if (found.path != files.metrics() || !is_readable(found)) continue;
    for (const auto& checkpoint : files.checkpoints().newest_first()) {
      const std::uint64_t logged = logged_before(checkpoint), size = bytes_in(found.path);
      if (size >= logged) continue;
      found.state = State::damaged;
      found.lines.push_back(fmt::format("it has {} bytes, but had {} when {} was made: rows are lost", size,
                                        logged, checkpoint.filename().string()));
      break;
    }
  }
}

/// One that nobody may look at does not hide the others.
void verify_run(const std::filesystem::path& run, std::vector<Verified>& results) {
  const std::size_t before = results.size();
  try {
    verify_files_of(run, results);
  } catch (const SystemError& error) {
    results.resize(before);
    results.push_back(unreadable(run, error));
  }
}

}  // namespace

Verified verify_file(const std::filesystem::path& path) {
  if (!is_a_file(path)) {
    throw Error("'{}' is not a file; give a study, a run or one of a run's files", path.string());
  }
  try {
    return verify_contents(path);
  } catch (const SystemError& error) {
    return unreadable(path, error);
  } catch (const Error& error) {
    return damaged(path, error.what());
  }
}

std::vector<Verified> verify(std::span<const std::filesystem::path> paths) {
  std::vector<Verified> results;
  for (const auto& path : paths) {
    try {
      if (!is_a_directory(path)) {
        results.push_back(verify_file(path));
        continue;
      }
      if (const auto study = path / kStudyFile; is_there(study)) results.push_back(verify_file(study));
      for (const auto& run : find_runs({&path, 1})) verify_run(run, results);
      if (const auto tests = path / kRateTests; is_there(tests))
        for (const auto& run : find_runs({&tests, 1})) verify_run(run, results);
    } catch (const SystemError& error) {
      results.push_back(unreadable(path, error));
    }
  }
  return results;
}

}  // namespace normlab
