// A run without the training: rows that follow from their step, a checkpoint after each epoch. It goes on
// from the checkpoint if there is one, and says on standard output what it holds to be safe. Killed or failed
// anywhere and started again, it must end with the files of one that was never disturbed.
//
//   recorder DIRECTORY EPOCHS [durable]
//
// With "durable" what it holds to be safe is what flush() acknowledged of a durable log, else what sync()
// did.

#include <unistd.h>

#include <cstdlib>

#include "host/record/checkpoint_files.hpp"
#include "host/record/metric_log.hpp"
#include "layers/error.hpp"

namespace {

using namespace normlab;

constexpr int kSteps = 200;  ///< in an epoch

/// In one system call, so that what was said is never half a line.
void say(const std::string& line) {
  if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
}

int record(const std::filesystem::path& directory, int epochs, bool durable) {
  remove_temporaries(directory);
  CheckpointFiles checkpoints(directory);
  const std::vector<Channel> channels{{"step.loss", ChannelKind::scalar, "", {}, {}},
                                      {"layer.grad_norm", ChannelKind::vector, "", {12}, {}}};
  int done = 0;
  std::unique_ptr<LogWriter> log;
  if (const auto saved = checkpoints.newest_first(); !saved.empty()) {
    const auto p = read_safetensors(saved.front()).find("position")->integers();
    done = static_cast<int>(p[0]);
    checkpoints.go_on(done, 2);
    const LogPosition position{static_cast<std::uint64_t>(p[1]), static_cast<std::uint64_t>(p[2]),
                               static_cast<std::uint32_t>(p[3])};
    log = std::make_unique<LogWriter>(directory / "metrics.nlog", channels, position);
  } else {
    std::filesystem::remove(directory / "metrics.nlog");  // nothing was said to be safe
    log = std::make_unique<LogWriter>(directory / "metrics.nlog", channels);
  }
  if (durable) log->make_durable();
  for (int epoch = done + 1; epoch <= epochs; ++epoch) {
    for (int i = 1; i <= kSteps; ++i) {
      const int step = (epoch - 1) * kSteps + i;
      log->append(0, epoch, step, 1.0 / step);
      const std::vector<float> norms(12, static_cast<float>(step));
      log->append(1, epoch, step, norms);
    }
    const LogPosition position = durable ? log->flush() : log->sync();
    say(fmt::format("rows {}\n", position.rows));
    const std::int64_t numbers[] = {epoch, static_cast<std::int64_t>(position.bytes),
                                    static_cast<std::int64_t>(position.rows), position.table_due};
    const std::vector<float> weights(20'000, static_cast<float>(epoch));
    say("saving\n");
    checkpoints.add({{},
                     {NamedTensor::of("weights", {20'000}, std::span<const float>(weights)),
                      NamedTensor::of("position", {4}, std::span(numbers))}},
                    epoch, 2);
    say(fmt::format("epoch {}\n", epoch));
  }
  log->close(RunStatus::done);
  say("done\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  try {
    return record(argv[1], std::atoi(argv[2]), argc > 3);
  } catch (const std::exception& error) {
    say(fmt::format("error: {}\n", error.what()));
    return 1;
  }
}
