// What users' machines do to programs: output that cannot be written, terminals and readers that go away,
// schedulers' signals, small limits, variables of other programs, odd names.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <set>
#include <sstream>
#include <vector>

#include "host/record/log_reader.hpp"
#include "host/record/run_config.hpp"
#include "host/system/program.hpp"
#include "tests/support/users_machine.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::Background;
using test::program;
using test::program_path;
using test::ProgramResult;
using test::run_command;
using test::TemporaryDirectory;

class UsersMachines : public ::testing::Test {
 protected:
  /// A set that is loaded at once.
  static void SetUpTestSuite() {
    set = new TemporaryDirectory;
    ASSERT_EQ(run_command(program("dataset") + " synthetic " + data() + " --train 640 --test 10").status, 0);
  }
  static void TearDownTestSuite() { delete set; }
  static std::string data() { return (*set / "set").string(); }
  /// Options of studies that take a moment, and of one that takes long.
  static std::string small() {
    return fmt::format(" --data {} --limit-train 64 --epochs 1 --diagnose 0 ", data());
  }
  static std::string tiny() { return small() + "--norms bn --seeds 1 "; }
  static std::string endless(const fs::path& out) {
    // Epochs and steps are short, also where a sanitizer leaves some images a second.
    const char* brief = "--limit-train 32 --batch-size 8";
    return fmt::format(" --data {} --epochs 100000 --seeds 1 --norms bn --diagnose 0 {} --out {}", data(),
                       brief, out.string());
  }

  /// Runs a line for the shell in a directory of this test's own.
  [[nodiscard]] ProgramResult run(const std::string& line) const {
    return run_command(fmt::format("cd '{}' && {{ {}; }}", here.path().string(), line));
  }
  [[nodiscard]] ProgramResult compare(const std::string& options, const std::string& before = "") const {
    return run(before + program("compare_norms") + tiny() + options);
  }
  /// The runs of a study.
  [[nodiscard]] std::set<std::string> runs(const fs::path& study) const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(here / study))
      if (entry.is_directory()) names.insert(entry.path().filename());
    return names;
  }

  const TemporaryDirectory here;

 private:
  static inline TemporaryDirectory* set = nullptr;
};

// --- Words
// ---------------------------------------------------------------------------------------------------

TEST_F(UsersMachines, OneChosenSeedStaysOneThroughFilesAndResumes) {
  test::write_text(here / "one.toml", "seeds = [7]\nnorms = ['bn']\nlr = [0.05]\n");
  const std::string rest = small();
  EXPECT_EQ(run(program("compare_norms") + rest + "--config one.toml --out a").status, 0);
  EXPECT_EQ(runs("a"), std::set<std::string>{"bn-seed7"});
  EXPECT_EQ(run(program("compare_norms") + rest + "--norms 'bn, ' --seeds 7, --out b").status, 0);
  EXPECT_EQ(runs("b"), std::set<std::string>{"bn-seed7"});
  fs::remove_all(here / "b/bn-seed7");
  EXPECT_EQ(run(program("compare_norms") + " --resume b").status, 0);
  EXPECT_EQ(run(program("compare_norms") + " --resume b --seeds 9,").status, 0);
  EXPECT_EQ(runs("b"), (std::set<std::string>{"bn-seed7", "bn-seed9"}));
  EXPECT_EQ(run(program("compare_norms") + rest + "--norms bn, none --seeds 4 , 6 --out c").status, 0);
  EXPECT_EQ(runs("c"), (std::set<std::string>{"bn-seed4", "bn-seed6", "none-seed4", "none-seed6"}));
  const ProgramResult twice = compare("--seeds 2 --out d");
  EXPECT_EQ(twice.status, 2);
  EXPECT_HAS(twice.output, "--seeds is given more than once");
}

/// Every list option of every experiment takes an array of one, which study.toml keeps.
TEST_F(UsersMachines, EveryListMayHaveOneItem) {
  const auto check = [&](const std::string& name, const std::string& text, const std::string& run_of_it) {
    test::write_text(here / (name + ".toml"), "seeds = [3]\n" + text);
    const bool trains = name != "init_laws";
    const std::string size = trains ? small() : "";
    const ProgramResult first =
        run(fmt::format("{} --config {}.toml{} --out {}", program(name), name, size, name));
    EXPECT_EQ(first.status, 0) << first.output;
    EXPECT_EQ(runs(name), std::set<std::string>{run_of_it});
    fs::remove_all(here / name / run_of_it);
    const ProgramResult again = run(fmt::format("{} --resume {}", program(name), name));
    EXPECT_EQ(again.status, 0) << again.output;
    EXPECT_EQ(runs(name), std::set<std::string>{run_of_it});
  };
  check("compare_norms", "norms = ['gn:2']\ngroups = [2]\ndiagnose-steps = [1]\n", "gn2-seed3");
  check("batch_size", "norms = ['bn']\nbatch-sizes = [16]\n", "bn-b16-seed3");
  check("depth", "norms = ['bn']\ndepths = [2]\ninits = ['he']\nclips = [0.5]\n", "bn-d2-he-clip0.5-seed3");
  check("learning_rate", "norms = ['bn']\nlrs = [0.01]\nval = 10\n", "bn-lr0.01-seed3");
  check("init_laws", "norms = ['bn']\npadding = ['zero']\n", "bn-seed3");
}

TEST_F(UsersMachines, EveryPrintedCommandCanBePasted) {
  const std::string name = "r m's $HOME";
  const ProgramResult study = compare("--out \"r m's \\$HOME\"");
  ASSERT_EQ(study.status, 0) << study.output;
  EXPECT_EQ(runs(name), std::set<std::string>{"bn-seed0"});
  std::smatch command;
  ASSERT_TRUE(std::regex_search(study.output, command, std::regex("\n  (.*normlog report .*)   #")))
      << study.output;
  const ProgramResult report = run(command[1]);
  EXPECT_EQ(report.status, 0) << report.output;
  EXPECT_TRUE(fs::exists(here / name / "report.html"));
  for (const std::string odd : {"[x]", "a=b", "é ü"}) {
    const ProgramResult study_of_it = compare("--out '" + odd + "'");
    ASSERT_TRUE(
        std::regex_search(study_of_it.output, command, std::regex("\n  (.*normlog) report (.*)   #")));
    EXPECT_EQ(run(command[1].str() + " summary " + command[2].str()).status, 0) << odd;
  }
  // A name that looks like an option.
  const ProgramResult dash = compare("--out=-x");
  ASSERT_EQ(dash.status, 0) << dash.output;
  ASSERT_TRUE(std::regex_search(dash.output, command, std::regex("\n  (.*normlog) report (.*)   #")));
  EXPECT_EQ(run(command[1].str() + " summary " + command[2].str()).status, 0);
  const ProgramResult board = run(program("normlog") + " tensorboard ./-x --out 't b'");
  EXPECT_HAS(board.output, "tensorboard --logdir 't b'");
}

TEST_F(UsersMachines, DataAreFoundFromEverywhere) {
  fs::create_directories(here / "elsewhere/inside");
  fs::create_directory_symlink("elsewhere/inside", here / "link");
  fs::copy(data(), here / "elsewhere/set");  // what link/../set is
  const std::string options = small() + "--norms bn --seeds 1 ";
  const std::string without_data = options.substr(options.find("--limit"));
  ASSERT_EQ(run(program("compare_norms") + " --data link/../set " + without_data + "--out climbed").status,
            0);
  ASSERT_EQ(run("cd elsewhere && " + program("compare_norms") + " --data set/ " + without_data + "--out ../a")
                .status,
            0);
  EXPECT_EQ(RunConfig::read(here / "a/bn-seed0/config.toml").text("data"), (here / "elsewhere/set").string());
  EXPECT_EQ(
      run("cd / && " + program("compare_norms") + " --resume " + (here / "a").string() + " --seeds 2").status,
      0);
  const ProgramResult report = run("cd / && " + program("normlog") + " report " + (here / "a").string());
  EXPECT_EQ(report.output.find("left out"), std::string::npos) << report.output;
}

TEST_F(UsersMachines, PicturesOfOtherRunsDoNotStay) {
  ASSERT_EQ(compare("--out a").status, 0);
  ASSERT_EQ(run(program("compare_norms") + small() + "--norms none --seeds 1 --out b").status, 0);
  const std::string plot = program("normlog") + " plot --format svg, png --out pictures ";
  ASSERT_EQ(run(plot + "a").status, 0);
  EXPECT_TRUE(fs::exists(here / "pictures/norm-bn.svg"));
  test::write_text(here / "pictures/mine.svg", "precious");
  ASSERT_EQ(run(plot + "b").status, 0);
  EXPECT_FALSE(fs::exists(here / "pictures/norm-bn.svg"));
  EXPECT_TRUE(fs::exists(here / "pictures/norm-none.png"));
  EXPECT_TRUE(fs::exists(here / "pictures/mine.svg"));
}

TEST_F(UsersMachines, PathsNeedNotBeUtf8) {
  const std::string old = "caf\xE9";  // Latin-1
  fs::create_directory(here / old);
  fs::copy(data(), here / old / "set");
  const std::string rest = small().substr(small().find("--limit"));
  const ProgramResult study = run(program("compare_norms") + " --data '" + old + "/set' " + rest +
                                  "--norms bn --seeds 1 --out '" + old + "/a'");
  ASSERT_EQ(study.status, 0) << study.output;
  for (const char* command : {"summary", "csv", "report", "verify"})
    EXPECT_EQ(run(program("normlog") + " " + command + " '" + old + "/a'").status, 0) << command;
  const std::string resume = program("compare_norms") + " --resume '" + old + "/a' --seeds 2";
  const ProgramResult lost = run(resume);
  EXPECT_EQ(lost.status, 2) << lost.output;
  EXPECT_HAS(lost.output, "--data DIR says where it is now");
  EXPECT_EQ(run(resume + " --data '" + old + "/set'").status, 0);
}

TEST_F(UsersMachines, ProgramsSayTheirVersion) {
  for (const char* name : {"compare_norms", "init_laws", "bench", "normlog", "dataset"}) {
    const ProgramResult version = run(program(name) + " --version");
    EXPECT_EQ(version.status, 0) << name;
    EXPECT_HAS(version.output, fmt::format("{} (Normlab) ", name));
    EXPECT_HAS(version.output, "revision ");
  }
}

TEST_F(UsersMachines, WhatAStudySaysFitsIntoEightyColumns) {
  const std::string deep = "a-rather-long-directory-name-of-a-shared-file-system";
  const ProgramResult study =
      run(program("compare_norms") + small() +
          "--seeds 2 --norms none,bn,ln-elementwise,gn:4,rms-elementwise --lr 0.1,none=0.02 --out " + deep);
  ASSERT_EQ(study.status, 0) << study.output;
  std::istringstream lines(study.output.substr(study.output.find("─")));
  for (std::string line; std::getline(lines, line) && !line.starts_with("results: ");)
    EXPECT_LE(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }), 80) << line;
}

// --- Output
// --------------------------------------------------------------------------------------------------

TEST_F(UsersMachines, OutputThatCannotBeWrittenIsAFailure) {
  const ProgramResult study = compare("--out a");
  ASSERT_EQ(study.status, 0) << study.output;
  const std::string normlog = program("normlog");
  for (const std::string& line :
       {normlog + " summary a", normlog + " csv a", normlog + " info a", normlog + " verify a",
        normlog + " digest a", normlog + " --help", normlog + " --version", program("dataset") + " info",
        program("compare_norms") + " --help", program("bench") + " --summary --norms bn",
        program("compare_norms") + tiny() + "--out full"}) {
    const ProgramResult full = run(line + " >/dev/full");
    EXPECT_EQ(full.status, 1) << line;
    EXPECT_HAS(full.output, "cannot write to standard output: No space left on device");
  }
  EXPECT_EQ(runs("full"), std::set<std::string>{"bn-seed0"});  // all the same
  EXPECT_TRUE(fs::exists(here / "full/bn-seed0/final.safetensors"));
  const ProgramResult both = run(normlog + " summary a >/dev/full 2>/dev/full");
  EXPECT_EQ(both.status, 1);
  // Closed: no file may get the number of the stream and its text.
  const ProgramResult closed = compare("--out closed >&- 2>&- <&-");
  EXPECT_EQ(closed.status, 1);
  EXPECT_EQ(run(normlog + " verify closed").status, 0);
  EXPECT_EQ(test::read_text(here / "closed/.lock"), "");
}

TEST_F(UsersMachines, AReaderThatGoesAwayDoesNotStopAStudy) {
  const ProgramResult piped =
      run("{ " + program("compare_norms") + tiny() + "--out a; echo $? >status; } | true");
  EXPECT_EQ(test::read_text(here / "status"), "1\n") << piped.output;
  EXPECT_HAS(piped.output, "the study is whole");
  EXPECT_TRUE(fs::exists(here / "a/bn-seed0/final.safetensors"));
}

// --- Signals
// -------------------------------------------------------------------------------------------------

TEST_F(UsersMachines, EverySignalThatAsksToStopSavesFirst) {
  for (const auto& [number, status] : {std::pair{SIGINT, 130},
                                       {SIGTERM, 130},
                                       {SIGHUP, 129},
                                       {SIGUSR1, 138},
                                       {SIGUSR2, 140},
                                       {SIGALRM, 142},
                                       {SIGXCPU, 152}}) {
    const std::string out = (here / fmt::format("s{}", number)).string();
    Background study(program("compare_norms") + endless(out), here / fmt::format("said{}", number));
    ASSERT_TRUE(study.says("epoch 1/100000")) << study.said();
    study.signal(number);
    if (number == SIGHUP) study.signal(number);  // the kernel and the shell both hang up
    EXPECT_EQ(study.end(), status);
    EXPECT_HAS(study.said(), "--resume " + out);
    const Log log = read_log(fs::path(out) / "bn-seed0/metrics.nlog");
    ASSERT_TRUE(log.outcome) << number;
    EXPECT_EQ(log.outcome->status, RunStatus::interrupted) << number;
    EXPECT_HAS(log.outcome->message, "interrupted after step");
  }
}

TEST_F(UsersMachines, WhatWasIgnoredStaysIgnored) {
  const std::string out = (here / "a").string();
  Background study("sh -c 'trap \"\" HUP INT; exec " + program_path("compare_norms") + endless(out) + "'",
                   here / "said");
  ASSERT_TRUE(study.says("epoch 1/100000")) << study.said();
  study.signal(SIGHUP);
  study.signal(SIGINT);
  const std::size_t before = study.said().size();
  for (int i = 0; i < 30000 && study.said().size() < before + 500; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_GE(study.said().size(), before + 500) << "it went on";
  study.signal(SIGTERM);
  EXPECT_EQ(study.end(), 130);
}

// --- Limits and variables
// ------------------------------------------------------------------------------------

/// Nobody reads what is said: the signal must come through all the same.
TEST_F(UsersMachines, AStopDoesNotWaitForReaders) {
  const std::string out = (here / "a").string();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::fcntl(ends[1], F_SETPIPE_SZ, 4096);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    const std::string line = "exec " + program("compare_norms") + endless(out) + " 2>/dev/null";
    ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  const auto waiting = [&] {  // bytes in the pipe
    int bytes = 0;
    ::ioctl(ends[0], FIONREAD, &bytes);
    return bytes;
  };
  int before = 0;  // an epoch takes some milliseconds: when nothing comes for long, nothing more fits
  for (int i = 0; i < 120 && (before == 0 || waiting() != before); ++i) {
    before = waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  ASSERT_GT(before, 0);
  ::kill(child, SIGTERM);
  int status = 0;
  for (int i = 0; i < 3000 && ::waitpid(child, &status, WNOHANG) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 130) << status;
  ::close(ends[0]);
  const Log log = read_log(fs::path(out) / "bn-seed0/metrics.nlog");
  ASSERT_TRUE(log.outcome);
  EXPECT_EQ(log.outcome->status, RunStatus::interrupted);
}

TEST_F(UsersMachines, ALimitOfFileSizesIsLikeAFullDisk) {
  const ProgramResult study = compare("--out a", "ulimit -f 100; ");
  EXPECT_EQ(study.status, 1) << study.output;
  EXPECT_HAS(study.output,
             "File too large; a file may not grow larger than that here: raise the limit (ulimit -f)");
  for (const auto& entry : fs::recursive_directory_iterator(here / "a"))
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  EXPECT_EQ(run(program("compare_norms") + " --resume a").status, 0);
}

TEST_F(UsersMachines, ALimitOfProcessorTimeLeavesTimeToSave) {
#ifdef NORMLAB_SANITIZED
  const std::string limit = "ulimit -t 12; exec ";
#else
  const std::string limit = "ulimit -t 6; exec ";
#endif
  const std::string out = (here / "a").string();
  const ProgramResult study = run(limit + program("compare_norms") + endless(out) + " >/dev/null");
  EXPECT_EQ(study.status, 152);
  EXPECT_HAS(study.output, "interrupted (CPU time limit exceeded)");
  EXPECT_EQ(read_log(fs::path(out) / "bn-seed0/metrics.nlog").outcome.value().status, RunStatus::interrupted);
}

TEST_F(UsersMachines, ASmallStackIsEnough) {
#ifdef NORMLAB_SANITIZED  // AddressSanitizer itself needs more
  const std::vector<int> sizes{512};
#else
  const std::vector<int> sizes{64, 128, 512};
#endif
  for (const int kilobytes : sizes) {
    const ProgramResult study = run(fmt::format("ulimit -s {0}; {1}{2}--norms bn,gn:4 --seeds 2 --out s{0}",
                                                kilobytes, program("compare_norms"), small()));
    EXPECT_EQ(study.status, 0) << kilobytes << study.output;
  }
}

/// Half a MiB, each page of it.
[[gnu::noinline]] int use_stack() {
  volatile char block[std::size_t{512} << 10];
  for (std::size_t i = 0; i < sizeof block; i += 1024) block[i] = 1;
  return block[0] == 1 ? 0 : 1;
}

/// How much kernels need differs between processors; this does not.
TEST_F(UsersMachines, ASmallStackIsWidened) {
  const auto work = [] {
    rlimit limit{};
    ::getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = std::size_t{256} << 10;
    ::setrlimit(RLIMIT_STACK, &limit);
    std::exit(run_guarded("test", use_stack));
  };
  EXPECT_EXIT(work(), ::testing::ExitedWithCode(0), "");
}

TEST_F(UsersMachines, ATemporaryDirectoryThatIsNotThereIsNamed) {
  ASSERT_EQ(compare("--out a").status, 0);
  EXPECT_EQ(run("TMPDIR=/nonexistent " + program("normlog") + " report a").status, 0);  // which needs none
  for (const std::string command : {"report a --out page.html", "tensorboard a"}) {
    const ProgramResult result = run("TMPDIR=/nonexistent " + program("normlog") + " " + command);
    EXPECT_EQ(result.status, 1) << command << result.output;
    EXPECT_HAS(result.output, "'/nonexistent'");
    EXPECT_HAS(result.output, "TMPDIR");
  }
}

/// Processors that each thread of a process may use, as the kernel lists them.
std::set<std::string> processors_of_threads(pid_t process) {
  std::set<std::string> lists;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", process))) {
    const std::string status = test::read_text(task.path() / "status");
    const std::size_t at = status.find("Cpus_allowed_list:");
    if (at != std::string::npos) lists.insert(status.substr(at, status.find('\n', at) - at));
  }
  return lists;
}

TEST_F(UsersMachines, VariablesOfOpenMPBindNoThread) {
  const std::set<std::string> ours = processors_of_threads(::getpid());
  int number = 0;
  for (const char* variables : {"OMP_PROC_BIND=true", "OMP_PROC_BIND=close OMP_PLACES=cores",
                                "OMP_PLACES={0}", "GOMP_CPU_AFFINITY=0", "KMP_AFFINITY=compact"}) {
    const std::string name = std::to_string(++number);
    // resnet:20 has convolutions that oneDNN computes.
    Background study(
        fmt::format("env {} {} --net resnet:20 --data {} --limit-train 16 --limit-test 1 --epochs 100000 "
                    "--seeds 1 --norms bn --diagnose 0 --out {}",
                    variables, program("compare_norms"), data(), (here / name).string()),
        here / ("said" + name));
    ASSERT_TRUE(study.says("epoch 1/100000")) << study.said();
    EXPECT_EQ(processors_of_threads(study.pid()), ours) << variables;
  }
}

}  // namespace
}  // namespace normlab
