// Disks that fill up, calls that fail, processes that are killed: what was said to be safe is there, files
// are old or new and never mixed, and what goes on from there ends as if nothing had happened.
//
// NORMLAB_KILLS=2000 kills that often instead of 50 times, NORMLAB_SAVING_KILLS=500 so often while a
// checkpoint is being written instead of 20 times.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "host/record/checkpoint_files.hpp"
#include "host/record/log_reader.hpp"
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

/// When to kill a recorder: so long after it began, or after it said that it saves for the n-th time.
struct Kill {
  int microseconds = -1;  ///< negative: never
  int saving = 0;
};

/// Runs the recorder on a directory.
Ended record(const std::filesystem::path& directory, const std::vector<std::string>& environment = {},
             const Kill& when = {}, bool durable = false) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    for (const std::string& entry : environment) putenv(const_cast<char*>(entry.c_str()));
    execl(NORMLAB_RECORDER, NORMLAB_RECORDER, directory.c_str(), std::to_string(kEpochs).c_str(),
          durable ? "durable" : nullptr, nullptr);
    _exit(127);
  }
  close(ends[1]);
  Ended result;
  const auto listen = [&] {
    char buffer[4096];
    const ssize_t count = read(ends[0], buffer, sizeof buffer);
    if (count > 0) result.said.append(buffer, static_cast<std::size_t>(count));
    return count > 0;
  };
  if (when.microseconds >= 0) {
    const auto saved = [&] {
      int times = 0;
      for (std::size_t at = 0; (at = result.said.find("saving", at)) != std::string::npos; ++at) ++times;
      return times;
    };
    while (saved() < when.saving && listen()) continue;
    std::this_thread::sleep_for(std::chrono::microseconds(when.microseconds));
    kill(child, SIGKILL);
  }
  while (listen()) continue;
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
using Files = std::map<std::string, std::vector<std::byte>>;

Files files_in(const std::filesystem::path& directory) {
  Files files;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    files[entry.path().filename().string()] = test::read_bytes(entry.path());
  return files;
}

struct Undisturbed {
  Files files;

  Undisturbed() {
    const TemporaryDirectory directory;
    EXPECT_EQ(record(directory.path()).status, 0);
    files = files_in(directory.path());
    EXPECT_EQ(files.size(), 3U) << "log, checkpoint, and the checkpoint before";
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
  const auto checkpoints = CheckpointFiles(directory).newest_first();
  EXPECT_TRUE(ended.epoch == 0 || !checkpoints.empty());
  for (const auto& path : checkpoints) {
    const TensorFile file = read_safetensors(path);  // throws if it is not whole
    const auto epoch = file.find("position")->integers()[0];
    EXPECT_EQ(file.find("weights")->floats(), std::vector<float>(20'000, static_cast<float>(epoch))) << path;
    if (path != checkpoints.front()) continue;
    EXPECT_GE(epoch, ended.epoch);
    EXPECT_LE(epoch, std::max(1, ended.epoch + 1));
  }
}

/// Started again, it ends as if nothing had happened.
void check_that_it_goes_on(const std::filesystem::path& directory) {
  const Ended again = record(directory);
  EXPECT_EQ(again.status, 0) << again.said;
  const Files files = files_in(directory);
  for (const auto& [name, bytes] : undisturbed().files) {
    EXPECT_TRUE(files.contains(name) && files.at(name) == bytes) << name;
  }
  EXPECT_EQ(files.size(), undisturbed().files.size()) << "nothing else is left";
}

/// What the shim needs to know.
std::vector<std::string> fault(const std::filesystem::path& run, const std::string& text) {
  return {"LD_PRELOAD=" NORMLAB_FAULTY_IO, "NORMLAB_FAULT=" + text, "NORMLAB_FAULT_DIR=" + run.string(),
          "NORMLAB_FAULT_MARK=" + run.string() + ".mark"};
}

int times(const char* variable, int usual) {
  const char* wanted = std::getenv(variable);
  return wanted == nullptr ? usual : std::atoi(wanted);
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
    const Ended ended =
        record(directory / "run", fault(directory / "run", fmt::format("{}:{}:{}", call, n, kind)));
    if (!std::filesystem::exists(directory / "run.mark")) {
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
  EXPECT_GE(faults, 4);
}

INSTANTIATE_TEST_SUITE_P(Calls, Faults,
                         ::testing::Values(CallAndKind{"open", "ENOSPC"}, CallAndKind{"write", "ENOSPC"},
                                           CallAndKind{"write", "EIO"}, CallAndKind{"write", "EINTR"},
                                           CallAndKind{"write", "short"}, CallAndKind{"fsync", "EIO"},
                                           CallAndKind{"fsync", "ENOSPC"}, CallAndKind{"fdatasync", "EIO"},
                                           CallAndKind{"open", "EIO"}, CallAndKind{"rename", "EIO"},
                                           CallAndKind{"rename", "ENOSPC"}, CallAndKind{"unlink", "EIO"},
                                           CallAndKind{"open", "EINTR"}, CallAndKind{"fsync", "EINTR"},
                                           CallAndKind{"fdatasync", "EINTR"}),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

bool has_temporary(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().extension() == ".tmp") return true;
  return false;
}

/// The same for a run that goes on: the first of each call fail.
TEST(FaultsOfARunThatGoesOn, AreSaidAndLoseNothing) {
#ifdef NORMLAB_SANITIZED
  GTEST_SKIP() << "the sanitizers' runtimes want to be loaded first";
#endif
  for (const char* call : {"ftruncate", "open", "write", "fdatasync", "fsync", "rename", "unlink"}) {
    for (int n = 1; n <= 3; ++n) {
      SCOPED_TRACE(fmt::format("NORMLAB_FAULT={}:{}:EIO", call, n));
      const TemporaryDirectory directory;
      std::filesystem::create_directory(directory / "run");
      const Ended first = record(directory / "run", {}, {0, 4});
      // Killed while it saved: the half file is removed first, and nobody minds if it stays.
      const bool has_half_file = has_temporary(directory / "run");
      const Ended second =
          record(directory / "run", fault(directory / "run", fmt::format("{}:{}:EIO", call, n)));
      if (!std::filesystem::exists(directory / "run.mark")) {
        EXPECT_GT(n, 1) << "nothing happened";
        break;
      }
      if (has_half_file && std::string(call) == "unlink" && n == 1) {
        EXPECT_EQ(second.status, 0) << second.said;
      } else {
        EXPECT_EQ(second.status, 1) << second.said;
        EXPECT_HAS(second.said, "error: cannot ");
      }
      // Rows after the checkpoint were cut, to be computed again.
      Ended safe = second;
      safe.epoch = std::max(first.epoch, second.epoch);
      safe.rows = std::max<std::uint64_t>(second.rows, 400U * static_cast<unsigned>(safe.epoch));
      check_what_was_safe(directory / "run", safe);
      check_that_it_goes_on(directory / "run");
      if (HasFailure()) return;
    }
  }
}

/// The power goes at each write in turn: a durable log has all rows that flush() acknowledged.
TEST(PowerLoss, CostsADurableLogNothingThatWasAcknowledged) {
#ifdef NORMLAB_SANITIZED
  GTEST_SKIP() << "the sanitizers' runtimes want to be loaded first";
#endif
  for (const char* call : {"write", "fsync", "fdatasync", "rename"}) {
    for (int n = 1;; ++n) {
      const TemporaryDirectory directory;
      SCOPED_TRACE(fmt::format("{}:{}", call, n));
      std::filesystem::create_directory(directory / "run");
      const Ended ended =
          record(directory / "run", fault(directory / "run", fmt::format("{}:{}:power", call, n)), {},
                 /* durable */ true);
      if (!std::filesystem::exists(directory / "run.mark")) {
        EXPECT_GT(n, 5) << "nothing happened";
        EXPECT_EQ(ended.status, 0) << ended.said;
        break;
      }
      EXPECT_EQ(ended.status, 128 + SIGKILL);
      check_what_was_safe(directory / "run", ended);
      check_that_it_goes_on(directory / "run");
      if (HasFailure()) return;
    }
  }
}

/// A disk on which each write takes 20 ms: the run takes longer, and has every row.
TEST(SlowDisk, SlowsDownAndLosesNothing) {
#ifdef NORMLAB_SANITIZED
  GTEST_SKIP() << "the sanitizers' runtimes want to be loaded first";
#endif
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "run");
  const auto start = std::chrono::steady_clock::now();
  const Ended ended = record(directory / "run", fault(directory / "run", "write:1:slow"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20 * kEpochs));
  EXPECT_EQ(ended.status, 0) << ended.said;
  EXPECT_TRUE(std::filesystem::exists(directory / "run.mark"));
  EXPECT_EQ(files_in(directory / "run"), undisturbed().files);
}

TEST(Kills, LoseNothingThatWasSaidToBeSafe) {
  const int kills = times("NORMLAB_KILLS", 50);
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
      const Ended ended = record(directory.path(), {}, {moment(random)});
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

TEST(Kills, WhileACheckpointIsWrittenLeaveTheOldOneOrTheNew) {
  const int kills = times("NORMLAB_SAVING_KILLS", 20);
  std::mt19937 random(2);
  std::map<std::string, int> found;
  static_cast<void>(undisturbed());
  for (int i = 0; i < kills; ++i) {
    const TemporaryDirectory directory;
    SCOPED_TRACE(i);
    const int saving = 1 + static_cast<int>(random() % kEpochs);
    const Ended ended = record(directory.path(), {}, {static_cast<int>(random() % 1500), saving});
    check_what_was_safe(directory.path(), ended);
    const bool has_temporary = std::any_of(
        std::filesystem::directory_iterator(directory.path()), std::filesystem::directory_iterator(),
        [](const auto& entry) { return entry.path().extension() == ".tmp"; });
    ++found[ended.status == 0 ? "had ended" : has_temporary ? "half a file beside it" : "none or all of it"];
    check_that_it_goes_on(directory.path());
    if (HasFailure()) break;
  }
  for (const auto& [what, count] : found) fmt::print("{}: {}\n", what, count);
}

}  // namespace
}  // namespace normlab
