// Disks that fill up, calls that fail, processes that are killed: what was said to be safe is there, files
// are old or new and never mixed, and what goes on from there ends as if nothing had happened.
//
// NORMLAB_KILLS=2000 kills that often instead of 20 times.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <sstream>
#include <thread>

#include "host/record/log_reader.hpp"
#include "host/record/safetensors.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::TemporaryDirectory;

constexpr int kEpochs = 6;

struct Ended {
  int status = 0;          ///< exit status; 128 + signal when killed
  std::string said;        ///< on standard output
  std::uint64_t rows = 0;  ///< of the log, said to be safe
  int epoch = 0;           ///< of the checkpoint, said to be safe
};

/// Runs the recorder on a directory; kills it after `microseconds` if that is not negative.
Ended record(const std::filesystem::path& directory, const std::vector<std::string>& environment = {},
             int epochs = kEpochs, int microseconds = -1) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    for (const std::string& entry : environment) putenv(const_cast<char*>(entry.c_str()));
    execl(NORMLAB_RECORDER, NORMLAB_RECORDER, directory.c_str(), std::to_string(epochs).c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  if (microseconds >= 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
    kill(child, SIGKILL);
  }
  Ended result;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(ends[0], buffer, sizeof buffer)) > 0;)
    result.said.append(buffer, static_cast<std::size_t>(count));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  std::istringstream lines(result.said);
  for (std::string word; lines >> word;) {
    if (word == "rows") lines >> result.rows;
    if (word == "epoch") lines >> result.epoch;
  }
  return result;
}

/// What a recorder leaves that nothing disturbed.
struct Undisturbed {
  std::vector<std::byte> log, checkpoint;

  Undisturbed() {
    const TemporaryDirectory directory;
    EXPECT_EQ(record(directory.path()).status, 0);
    log = test::read_bytes(directory / "metrics.nlog");
    checkpoint = test::read_bytes(directory / "checkpoint.safetensors");
  }
};

const Undisturbed& undisturbed() {
  static const Undisturbed instance;
  return instance;
}

/// After `ended`: the log has at least the rows said, the checkpoint is that of the epoch said or of the
/// next.
void check_what_was_safe(const std::filesystem::path& directory, const Ended& ended) {
  if (ended.rows > 0) {
    const Log log = read_log(directory / "metrics.nlog");
    EXPECT_GE(log.rows.size(), ended.rows);
    EXPECT_TRUE(log.damage.empty());
    for (const Row& row : log.rows) {
      if (row.channel == 0) {
        EXPECT_EQ(log.values_of(row)[0], 1.0 / static_cast<double>(row.step));
      }
    }
  }
  const auto path = directory / "checkpoint.safetensors";
  EXPECT_TRUE(ended.epoch == 0 || std::filesystem::exists(path));
  if (!std::filesystem::exists(path)) return;
  const TensorFile file = read_safetensors(path);  // throws if it is not whole
  const auto epoch = file.find("position")->integers()[0];
  EXPECT_GE(epoch, ended.epoch);
  EXPECT_LE(epoch, std::max(1, ended.epoch + 1));
  EXPECT_EQ(file.find("weights")->floats(), std::vector<float>(20'000, static_cast<float>(epoch)));
}

/// Started again, it ends as if nothing had happened.
void check_that_it_goes_on(const std::filesystem::path& directory) {
  const Ended again = record(directory);
  EXPECT_EQ(again.status, 0) << again.said;
  EXPECT_EQ(test::read_bytes(directory / "metrics.nlog"), undisturbed().log);
  EXPECT_EQ(test::read_bytes(directory / "checkpoint.safetensors"), undisturbed().checkpoint);
}

using CallAndKind = std::tuple<const char*, const char*>;
class Faults : public ::testing::TestWithParam<CallAndKind> {};

/// The n-th call fails, for every n until there are no more.
TEST_P(Faults, AreSaidAndLoseNothing) {
#ifdef NORMLAB_SANITIZED
  GTEST_SKIP() << "the sanitizers' runtimes want to be loaded first";
#endif
  const auto [call, kind] = GetParam();
  const bool is_harmless = std::string(kind) == "EINTR" || std::string(kind) == "short";
  int faults = 0;
  for (int n = 1;; ++n) {
    SCOPED_TRACE(fmt::format("NORMLAB_FAULT={}:{}:{}", call, n, kind));
    const TemporaryDirectory directory;
    std::filesystem::create_directory(directory / "run");
    const Ended ended = record(directory / "run", {"LD_PRELOAD=" NORMLAB_FAULTY_IO,
                                                   fmt::format("NORMLAB_FAULT={}:{}:{}", call, n, kind),
                                                   "NORMLAB_FAULT_DIR=" + (directory / "run").string(),
                                                   "NORMLAB_FAULT_MARK=" + (directory / "mark").string()});
    if (!std::filesystem::exists(directory / "mark")) {
      EXPECT_EQ(ended.status, 0) << ended.said;
      break;
    }
    ++faults;
    if (is_harmless) {
      EXPECT_EQ(ended.status, 0) << ended.said;
    } else {
      EXPECT_EQ(ended.status, 1) << ended.said;
      EXPECT_HAS(ended.said, "error: cannot ");
      EXPECT_HAS(ended.said, (directory / "run").string());
      EXPECT_HAS(ended.said, std::string(kind) == "EIO" ? "see dmesg" : "free some space");
      for (const auto& entry : std::filesystem::directory_iterator(directory / "run"))
        EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
    }
    check_what_was_safe(directory / "run", ended);
    check_that_it_goes_on(directory / "run");
    if (HasFailure()) break;
  }
  EXPECT_GE(faults, std::string(call) == "ftruncate" ? 0 : 5);
}

INSTANTIATE_TEST_SUITE_P(Calls, Faults,
                         ::testing::Values(CallAndKind{"open", "ENOSPC"}, CallAndKind{"write", "ENOSPC"},
                                           CallAndKind{"write", "EIO"}, CallAndKind{"write", "EINTR"},
                                           CallAndKind{"write", "short"}, CallAndKind{"fsync", "EIO"},
                                           CallAndKind{"fsync", "ENOSPC"}, CallAndKind{"fdatasync", "EIO"},
                                           CallAndKind{"rename", "EIO"}, CallAndKind{"rename", "ENOSPC"}),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

TEST(Kills, LoseNothingThatWasSaidToBeSafe) {
  const char* wanted = std::getenv("NORMLAB_KILLS");
  const int kills = wanted == nullptr ? 20 : std::atoi(wanted);
  std::mt19937 random(1);
  // As long as the whole takes here and now.
  const auto start = std::chrono::steady_clock::now();
  static_cast<void>(undisturbed());
  const auto whole =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
  std::uniform_int_distribution<int> moment(0, static_cast<int>(whole.count()));
  int killed = 0, resumed = 0;
  for (int i = 0; i < kills; ++i) {
    const TemporaryDirectory directory;
    SCOPED_TRACE(i);
    // Killed, gone on, killed again.
    for (int life = 0; life < 2; ++life) {
      const Ended ended = record(directory.path(), {}, kEpochs, moment(random));
      killed += ended.status == 128 + SIGKILL ? 1 : 0;
      resumed += life == 1 && ended.epoch > 0 ? 1 : 0;
      if (ended.status != 0 && life == 0) check_what_was_safe(directory.path(), ended);
    }
    check_that_it_goes_on(directory.path());
    if (HasFailure()) break;
  }
  EXPECT_GT(killed, 0);
  RecordProperty("killed", killed);
  fmt::print("{} killed of {}, {} of them after going on\n", killed, 2 * kills, resumed);
}

}  // namespace
}  // namespace normlab
