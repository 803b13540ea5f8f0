// tools/profile: what it makes of files in the profilers' formats (written by hand, after their
// documentation), the command lines that it would run, and its errors.

#include <gtest/gtest.h>

#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::ProgramResult;

const std::string kTool = "python3 '" + test::source_dir() + "/tools/profile' ";
const std::string kRecorded = test::source_dir() + "/tests/tools/recorded/";

class ProfileTool : public ::testing::Test {
 protected:
  void SetUp() override {
    if (test::run_command("python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'").status != 0)
      GTEST_SKIP() << "no Python 3.9";
  }
};

/// Words of the output's line that begins with `start`; empty: there is none.
std::vector<std::string> words_of(const std::string& output, const std::string& start) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(start)) continue;
    std::istringstream text(line);
    return {std::istream_iterator<std::string>(text), {}};
  }
  return {};
}

using Words = std::vector<std::string>;

TEST_F(ProfileTool, GivesEachKernelToTheLayerThatLaunchedIt) {
  const ProgramResult result =
      test::run_command(kTool + "table " + kRecorded + "profile_nvtx_pushpop_trace.csv " + kRecorded +
                        "profile_cuda_kern_exec_trace.csv");
  ASSERT_EQ(result.status, 0) << result.output;
  const std::string& text = result.output;
  EXPECT_EQ(words_of(text, "forward c1.conv"), (Words{"forward", "c1.conv", "Kernel2", "1", "4.0", "40.0"}));
  EXPECT_EQ(words_of(text, "forward c1.norm"),
            (Words{"forward", "c1.norm", "group_norm_forward_kernel", "2", "2.0", "20.0"}));
  EXPECT_EQ(words_of(text, "backward c1.norm"),
            (Words{"backward", "c1.norm", "group_norm_backward_kernel", "1", "2.5", "25.0"}));
  EXPECT_EQ(words_of(text, "optimizer"), (Words{"optimizer", "sgd_kernel", "1", "1.0", "10.0"}));
  EXPECT_EQ(words_of(text, "(no range)"), (Words{"(no", "range)", "end_step_kernel", "1", "0.5", "5.0"}));
  EXPECT_EQ(words_of(text, "all"), (Words{"all", "6", "10.0", "100.0"}));
  EXPECT_HAS(text, "1 step in the window: 10.0 us of kernels a step");
}

TEST_F(ProfileTool, KnowsBytesAndShareOfBandwidth) {
  const std::string command = kTool + "table " + kRecorded + "profile_ncu.csv";
  ProgramResult result = test::run_command(command);
  ASSERT_EQ(result.status, 0) << result.output;
  // 24 MB in 16 us; the peak's share is weighted by time.
  EXPECT_EQ(
      words_of(result.output, "forward c1.norm"),
      (Words{"forward", "c1.norm", "group_norm_forward_kernel", "2", "16.0", "80.0", "24.00", "1500", "30"}));
  EXPECT_EQ(words_of(result.output, "optimizer"), (Words{"optimizer", "sgd_kernel", "1", "4.0", "20.0"}))
      << "one of its counters was not there";
  result = test::run_command(command + " --bandwidth 3000");
  EXPECT_HAS(result.output, "% of 3000 GB/s");
  EXPECT_EQ(
      words_of(result.output, "forward c1.norm"),
      (Words{"forward", "c1.norm", "group_norm_forward_kernel", "2", "16.0", "80.0", "24.00", "1500", "50"}));
}

TEST_F(ProfileTool, SortsByTime) {
  const std::string command = kTool + "table " + kRecorded + "profile_nvtx_pushpop_trace.csv " + kRecorded +
                              "profile_cuda_kern_exec_trace.csv --sort ";
  const std::string by_time = test::run_command(command + "time").output;
  EXPECT_LT(by_time.find("backward c1.norm"), by_time.find("forward c1.norm"));
  const std::string by_layer = test::run_command(command + "layer").output;
  EXPECT_GT(by_layer.find("backward c1.norm"), by_layer.find("forward c1.norm"));
}

TEST_F(ProfileTool, WouldWaitForTheWindow) {
  ProgramResult result = test::run_command(kTool + "nsys --dry-run --out some -- program --option");
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* part :
       {"nsys profile", "--trace=cuda,nvtx", "--capture-range=cudaProfilerApi",
        "--output=some/profile program --option", "nvtx_pushpop_trace,cuda_kern_exec_trace"})
    EXPECT_HAS(result.output, part);
  result = test::run_command(kTool + "ncu --dry-run");
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* part :
       {"ncu --profile-from-start=off", "dram__bytes_read.sum", "--page=raw", "--profile-steps"})
    EXPECT_HAS(result.output, part);
}

TEST_F(ProfileTool, GivesOneClearError) {
  const auto expect = [](const std::string& arguments, int status, const Words& says) {
    const ProgramResult result = test::run_command(kTool + arguments);
    EXPECT_EQ(result.status, status) << arguments << "\n" << result.output;
    EXPECT_EQ(result.output.find("Traceback"), std::string::npos) << result.output;
    for (const std::string& part : says) EXPECT_HAS(result.output, part);
  };
  expect("table", 2, {"FILE"});
  expect("ncu somefile", 2, {"FILE"});
  expect("perf", 2, {"perf"});
  expect("table /does/not/exist.csv", 1, {"/does/not/exist.csv", "No such file"});
  expect("table " + kRecorded + "profile_nvtx_pushpop_trace.csv", 1,
         {"profile_nvtx_pushpop_trace.csv", "column"});
  expect("table a b c", 1, {"nvtx_pushpop_trace"});
  const test::TemporaryDirectory directory;
  test::write_text(
      directory / "n.csv",
      "\"ID\",\"Kernel Name\",\"gpu__time_duration.sum\"\n\"\",\"\",\"ns\"\n\"0\",\"k\",\"fast\"\n");
  expect("table " + (directory / "n.csv").string(), 1, {"n.csv", "'fast'", "gpu__time_duration.sum"});
  test::write_text(directory / "n.csv",
                   "\"ID\",\"Kernel Name\",\"gpu__time_duration.sum\"\n\"\",\"\",\"ns\"\n");
  expect("table " + (directory / "n.csv").string(), 1, {"no kernel", "--profile-steps"});
}

TEST_F(ProfileTool, SaysWhatIsMissing) {
  const ProgramResult result = test::run_command(
      "python=$(python3 -c 'import sys; print(sys.executable)') && "
      "PATH= \"$python\" '" +
      test::source_dir() + "/tools/profile' nsys");
  EXPECT_EQ(result.status, 1) << result.output;
  for (const char* part : {"nsys is not on the PATH", "CUDA toolkit", "bench --device cuda --layers"})
    EXPECT_HAS(result.output, part);
}

}  // namespace
}  // namespace normlab
