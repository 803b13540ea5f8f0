// tools/gpu-check where there is no GPU: a whole report that says what was not run and why; what it makes of
// figures; and that it goes on where it stopped. compare_pytorch's errors.

#include <gtest/gtest.h>

#include <cstdlib>

#include "experiments/options/backends.hpp"
#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;

const std::string kSource = test::source_dir();

class GpuCheck : public ::testing::Test {
 protected:
  void SetUp() override {
    if (test::run_command("python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'").status != 0)
      GTEST_SKIP() << "no Python 3.9";
  }
  [[nodiscard]] ProgramResult run(const std::string& arguments) const {
    return test::run_command("PYTHONDONTWRITEBYTECODE=1 python3 '" + kSource + "/tools/gpu-check' --out '" +
                             out().string() + "' --state '" + state().string() + "' " + arguments);
  }
  /// Python that sees gpu-check's modules and a state `s`.
  [[nodiscard]] ProgramResult python(const std::string& code) const {
    test::write_text(directory_ / "code.py",
                     "import sys\nfrom pathlib import Path\nsys.path.insert(0, '" + kSource +
                         "/tools')\nfrom gpu_check import parts, report, state\ns = state.State(Path('" +
                         state().string() + "'))\nout = Path('" + out().string() + "')\n" + code);
    return test::run_command("PYTHONDONTWRITEBYTECODE=1 python3 '" + (directory_ / "code.py").string() + "'");
  }
  [[nodiscard]] fs::path out() const { return directory_ / "out"; }
  [[nodiscard]] fs::path state() const { return directory_ / "state"; }
  [[nodiscard]] std::string report() const { return test::read_text(out() / "report.md"); }

  const test::TemporaryDirectory directory_;
};

TEST_F(GpuCheck, WithoutAGpuTheReportSaysWhatWasNotRun) {
  if (why_no_cuda().empty()) GTEST_SKIP() << "there is a GPU";
  const ProgramResult result = run("--dry-run");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_HAS(result.output, "report.md");
  for (const char* part :
       {"| build |", "not run: dry run", "not run: no GPU", "compute-sanitizer --tool=racecheck",
        "## Floors and goals", "NetA epoch, bf16", "60 ms", "25 ms", "not measured", "## machine",
        "GPU: none", "ncu: not", "compute-sanitizer: not"})
    EXPECT_HAS(report(), part);
  const std::string csv = test::read_text(out() / "results.csv");
  EXPECT_TRUE(csv.starts_with("part,status,reason,what,value,unit\nmachine,passed,")) << csv;
  EXPECT_HAS(csv, "memcheck,not run,no GPU");
}

TEST_F(GpuCheck, RunsWhatNeedsNoGpuWhereThereIsNone) {
  if (why_no_cuda().empty()) GTEST_SKIP() << "there is a GPU";
  const ProgramResult result = run("--parts machine,bench,accuracy");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_HAS(result.output, "machine: passed");
  EXPECT_HAS(result.output, "bench: not run: no GPU");
  EXPECT_EQ(report().find("racecheck |"), report().rfind("racecheck |")) << "only in the table of goals";
}

/// Figures as the parts file them; the farthest from its goal counts.
TEST_F(GpuCheck, HoldsFiguresAgainstFloorsAndGoals) {
  const ProgramResult result = python(R"(
s.save('bench', state.Result('passed', '', [(f'NetA epoch replayed, {n}, bf16', t, 'ms')
       for n, t in (('none', 20.0), ('ln', 24.0), ('gn:4', 40.0), ('in', 25.0), ('bn', 29.5))]))
s.save('memcheck', state.Result('passed', '', [('memcheck: reports', 0, '')]))
s.save('repeats', state.Result('passed', '', [('bitwise equal repeats', 2, '')]))
s.save('accuracy', state.Result('passed', '', [('accuracy, bn: |cuda - cpu|', 0.1, 'points')]))
(s.files / 'bench-bf16.csv').write_text('x')
print('status', report.write(out, s, ['bench', 'memcheck', 'repeats', 'accuracy']))
)");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_HAS(result.output, "status 1");
  EXPECT_HAS(report(), "| NetA epoch, bf16, batch 512: none, ln, gn:4, in | 60 ms | 25 ms | 40 ms | floor |");
  EXPECT_HAS(report(), "| NetA epoch, bf16, batch 512: bn | 70 ms | 30 ms | 29.5 ms | goal |");
  EXPECT_HAS(report(), "| bitwise equal repeats | 3 | 20 | 2 | BELOW THE FLOOR |");
  EXPECT_HAS(report(), "| compute-sanitizer memcheck | 0 reports | 0 reports | 0 reports | goal |");
  EXPECT_HAS(
      report(),
      "| accuracy against the CPU backend, 8 epochs, 3 seeds | 1 points | 0.5 points |  | not measured |")
      << "one norm of five is not enough";
  EXPECT_TRUE(fs::exists(out() / "bench-bf16.csv"));
}

TEST_F(GpuCheck, ReadsWhatBenchPrints) {
  const ProgramResult result = python(R"(
import csv
rows = list(csv.DictReader('''section,name,norm,pass,n,c,h,w,precision,microseconds,gigabytes_per_second,teraflops,percent_of_copy,warm_microseconds,warm_percent_of_copy,copy_gigabytes_per_second
norm,,ln,forward,2048,64,32,32,bf16,100,3000,0,75,90,80,4000
norm,,ln,forward,256,64,56,56,bf16,100,2800,0,70,90,80,4000
norm,,ln,forward,512,16,8,8,bf16,10,400,0,10,9,12,4000
norm,,bn,forward,2048,64,32,32,bf16,100,1000,0,25,90,80,4000
step,,bn,replayed,512,3,32,32,bf16,250,0,0,0,0,0,4000
epoch,50000,bn,replayed,512,3,32,32,bf16,25000,0,0,0,0,0,4000
convolution,3x3 16 to 32,,forward,512,16,32,32,bf16,50,1000,12.5,25,0,0,4000
'''.splitlines()))
figures, lines = parts.figures_of(rows, 'bf16')
for figure in figures: print(figure)
print(lines)
)");
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* part :
       {"('copy, bf16', 4000.0, 'GB/s')", "('ln forward on large maps, bf16', 70.0, '% of copy')",
        "('NetA step replayed, bn, bf16', 0.25, 'ms')", "('NetA epoch replayed, bn, bf16', 25.0, 'ms')",
        "3x3 16 to 32, 512x16x32x32, forward: 12.5 TFLOP/s"})
    EXPECT_HAS(result.output, part);
  EXPECT_EQ(result.output.find("bn forward"), std::string::npos) << "not one of ours for certain";
}

/// Every part, with stand-ins for a GPU, NVIDIA's tools and the programs that are built.
TEST_F(GpuCheck, AWholeRunOnStandIns) {
  const std::string root = (directory_ / "root").string();
  const std::string build = root + "/build/release";
  const ProgramResult made = test::run_command(
      "mkdir -p " + build + "/tests && cd '" + kSource + "' && cp -r tools CMakeLists.txt " + root +
      " && cp -r tests/tools/stand_ins/bin " + build + " && cd " + build +
      "/tests && for t in group_norm batch_norm conv2d max_pool optimizer images softmax_cross_entropy "
      "linear diagnostics; "
      "do printf '#!/bin/sh\\n' >${t}_test; done");
  ASSERT_EQ(made.status, 0) << made.output;
  const std::string command =
      "python=$(python3 -c 'import sys; print(sys.executable)') && cd " + root + " && PATH='" + kSource +
      "/tests/tools/stand_ins/path':$PATH PYTHONDONTWRITEBYTECODE=1 $python tools/gpu-check --out " +
      out().string();
  const ProgramResult result =
      test::run_command(command + " --parts machine,build,bench,repeats,tests,memcheck,racecheck,accuracy");
  EXPECT_EQ(result.status, 1) << "racecheck found something\n" << result.output;
  for (const char* part :
       {"build: passed", "bench: passed", "repeats: passed", "tests: passed", "memcheck: passed",
        "racecheck: failed: 2 reports", "accuracy: passed", "1 failed, 0 not run, 1 below the floor"})
    EXPECT_HAS(result.output, part);
  for (const char* row :
       {"| own norm forward on large maps | 75 % of copy | 88 % of copy | 80 % of copy | floor |",
        "| bitwise equal repeats | 3 | 20 | 20 | goal |", "60 ms | 25 ms | 24 ms | goal |",
        "| compute-sanitizer racecheck | 0 reports | 0 reports | 2 reports | BELOW THE FLOOR |",
        "ncu: ==ERROR== ERR_NVGPUCTRPERM", "nsys: works", "tests: 18", "skipped: 9",
        "bn: 70.00 % on the GPU, 70.00 % on the CPU"})
    EXPECT_HAS(report(), row);
  EXPECT_LE(std::distance(fs::directory_iterator(out()), {}), 8);
  const ProgramResult again = test::run_command(command + " --parts machine,bench,racecheck");
  EXPECT_HAS(again.output, "bench: passed before");
  EXPECT_HAS(again.output, "racecheck: failed before");
}

TEST_F(GpuCheck, GoesOnWhereItStopped) {
  const ProgramResult result = python(R"(
s.save('bench', state.Result('passed'))
s.save('tests', state.Result('failed', '2 failed'))
s.save('pytorch', state.Result('not run', 'out of time'))
(s.directory / 'profile.json').write_text('{"status": "pas')
print([name for name in ('bench', 'tests', 'pytorch', 'profile', 'accuracy') if s.is_done(name)])
again = state.State(s.directory, ['bench'])
print([name for name in ('bench', 'tests') if again.is_done(name)])
s.sources = 'other'
print([name for name in ('bench', 'tests') if s.is_done(name)])
)");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(result.output, "['bench', 'tests']\n['tests']\n[]\n");
}

TEST_F(GpuCheck, EndsWhatTakesTooLongWithAllItStarted) {
  const ProgramResult result = python(R"(
import argparse, os, time
from gpu_check.state import Budget
context = parts.Context(argparse.Namespace(dry_run=False, deps=None, data=None), s, Budget(100))
def slow(context):
    context.limit = time.monotonic() + 1
    context.call('sh', '-c', 'sleep 98.7654 & echo $! > %s; sleep 98.7654' % (s.directory / 'pid'))
context.run(parts.Part('slow', '', False, 50, slow))
time.sleep(0.3)
pid = int((s.directory / 'pid').read_text())
try:
    state_of = open(f'/proc/{pid}/stat').read().split()[2]
except OSError:
    state_of = 'gone'
print('child', state_of in ('gone', 'Z'))
context.budget = Budget(5)
context.run(parts.Part('late', '', False, 50, slow))
)");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_HAS(result.output, "slow: not run: out of time in sh");
  EXPECT_HAS(result.output, "child True");
  EXPECT_HAS(result.output, "late: not run: out of time; call gpu-check again");
}

TEST_F(GpuCheck, WrongUsageIsOneClearError) {
  for (const auto& [arguments, says] : {std::pair{"--parts build,paint", "paint"},
                                        {"--redo everything", "everything"},
                                        {"--deps /no/such.tar.xz", "/no/such.tar.xz"},
                                        {"--minutes 0", "--minutes"}}) {
    const ProgramResult result = run(arguments);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_HAS(result.output, says);
  }
}

ProgramResult with_torch(const std::string& script) {
  const char* interpreter = std::getenv("NORMLAB_PYTHON");
  return test::run_command(
      "PYTHONDONTWRITEBYTECODE=1 '" +
      std::string(interpreter != nullptr && *interpreter != '\0' ? interpreter : "python3") + "' " + script);
}

TEST(ComparePyTorch, ItsGpuHalfRunsOnTheCpu) {
  const ProgramResult result = with_torch("'" + kSource + "/tests/tools/pytorch_gpu_check.py'");
  if (result.status == 127 || result.status == 77) GTEST_SKIP() << "no PyTorch: " << result.output;
  EXPECT_EQ(result.status, 0) << result.output;
}

TEST(ComparePyTorch, SaysWhyThereIsNoComparison) {
  const std::string tool = "'" + kSource + "/tools/compare_pytorch' ";
  const ProgramResult help = with_torch(tool + "--help");
  if (help.status == 127) GTEST_SKIP() << "no Python";
  ASSERT_EQ(help.status, 0) << help.output;
  for (const char* part : {"--device {cpu,cuda}", "one CUDA graph"}) EXPECT_HAS(help.output, part);
  EXPECT_EQ(with_torch(tool + "--device cuda --markdown").status, 2);
  EXPECT_EQ(with_torch(tool + "--csv").status, 2);
  if (why_no_cuda().empty()) GTEST_SKIP() << "there is a GPU";
  const ProgramResult result = with_torch(tool + "--device cuda");
  EXPECT_EQ(result.status, 1) << result.output;
  if (result.output.find("needs torch") != std::string::npos) GTEST_SKIP() << "no PyTorch";
  if (result.output.find("build/release/bin/bench is not there") != std::string::npos)
    GTEST_SKIP() << "no release build beside this one";
  EXPECT_HAS(result.output, "--device cuda: PyTorch");
  EXPECT_HAS(result.output, "use --device cpu");
}

}  // namespace
}  // namespace normlab
