// Studies that stop and go on: finished runs stay as they are, the others end with the bits they would have
// had, and a directory that was made otherwise is refused.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "host/record/log_reader.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_results.hpp"
#include "host/record/safetensors.hpp"
#include "layers/error.hpp"
#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;

// (A process that ended and was not waited for still has a number, but no /proc/<pid>/exe.)
const std::string kOptions =
    "--limit-train 100 --limit-test 50 --epochs 2 --diagnose 2 --batch-size 17 --norms none,bn,gn:4 "
    "--seeds 1 --threads 2 ";

class Resume : public ::testing::Test {
 protected:
  [[nodiscard]] std::string out(const std::string& name) const { return (directory_.path() / name).string(); }

  /// A finished study of kOptions, which is trained once and copied.
  [[nodiscard]] std::string trained(const std::string& name) const {
    static const test::TemporaryDirectory made;
    static const ProgramResult result =
        run_program("compare_norms " + kOptions + "--out " + (made / "s").string());
    EXPECT_EQ(result.status, 0) << result.output;
    fs::copy(made / "s", out(name), fs::copy_options::recursive);
    return out(name);
  }

  /// Runs of both studies are equal but for what takes time.
  void expect_equal_studies(const std::string& a, const std::string& b) {
    const auto runs = find_runs(std::vector<fs::path>{a});
    EXPECT_EQ(runs.size(), find_runs(std::vector<fs::path>{b}).size());
    for (const fs::path& run : runs) {
      const fs::path other = fs::path(b) / run.filename();
      EXPECT_EQ(first_difference(read_log(run / "metrics.nlog"), read_log(other / "metrics.nlog")), "")
          << run;
      EXPECT_TRUE(test::read_text(run / "final.safetensors") == test::read_text(other / "final.safetensors"))
          << run;
    }
  }

  test::TemporaryDirectory directory_;
};

TEST_F(Resume, AfterKillEveryRunEndsWithTheBitsOfAnUndisturbedStudy) {
  // Killed once the first run ended: one is done, another is on its way or not begun.
  const ProgramResult killed = run_program("compare_norms " + kOptions + "--jobs 1 --out " + out("s") +
                                           " & pid=$!; while [ -e /proc/$pid/exe ] && [ ! -e " + out("s") +
                                           "/bn-seed0 ]; do sleep 0.01; done; kill -9 $pid; wait $pid");
  ASSERT_EQ(read_run(fs::path(out("s")) / "none-seed0").status, "done") << killed.output;
  ASSERT_FALSE(fs::exists(out("s") + "/gn4-seed0"));
  const auto written = fs::last_write_time(out("s") + "/none-seed0/final.safetensors");

  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_NE(resumed.output.find("resumed: 1 run finished already, 2 to do"), std::string::npos)
      << resumed.output;
  EXPECT_EQ(fs::last_write_time(out("s") + "/none-seed0/final.safetensors"), written) << "must stay as it is";
  expect_equal_studies(trained("whole"), out("s"));

  const ProgramResult again = run_program("compare_norms --resume " + out("s"));
  EXPECT_EQ(again.status, 0) << again.output;
  EXPECT_NE(again.output.find("3 runs finished already, 0 to do"), std::string::npos) << again.output;
  EXPECT_NE(again.output.find("gn:4"), std::string::npos) << "the table is printed again";
}

// What an experiment measures on the way goes on, too: here a landscape every second step, with augmentation.
TEST_F(Resume, MeasurementsGoOnInTheMiddleOfAnEpoch) {
  const std::string options =
      "loss_landscape --limit-train 120 --limit-test 50 --epochs 2 --batch-size 8 --norms bn --augment "
      "--every 2 "
      "--checkpoint-every 3 --out ";
  ASSERT_EQ(run_program(options + out("whole")).status, 0);
  // Stopped once a checkpoint later than the first stands there.
  const std::string checkpoint = out("s") + "/bn-seed0/checkpoint.safetensors";
  const ProgramResult stopped =
      run_program(options + out("s") +
                  " & pid=$!; first=; while [ -e /proc/$pid/exe ]; do now=$(stat -c %i " + checkpoint +
                  " 2>/dev/null); [ -n \"$first\" ] && [ \"$now\" != \"$first\" ] && "
                  "{ kill $pid; break; }; first=${first:-$now}; done; wait $pid");
  ASSERT_EQ(stopped.status, 130) << stopped.output;
  const ProgramResult resumed = run_program("loss_landscape --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  expect_equal_studies(out("whole"), out("s"));
}

/// Testing goes on over many images, a thousand at a time: a stop does not wait for the rest, since the epoch
/// is saved before.
TEST_F(Resume, AStopWhileTestingIsAtOnce) {
  const std::string options =
      "compare_norms --norms bn --seeds 1 --threads 1 --width 2 --limit-train 60 --batch-size 30 --epochs 1 "
      "--limit-test 1200 --out ";
  ASSERT_EQ(run_program(options + out("whole")).status, 0);
  const ProgramResult stopped =
      run_program(options + out("s") + " & pid=$!; while [ -e /proc/$pid/exe ] && [ ! -e " + out("s") +
                  "/bn-seed0/checkpoint-0.safetensors ]; do :; done; kill -TERM $pid; wait $pid");
  ASSERT_EQ(stopped.status, 130) << stopped.output;
  EXPECT_HAS(stopped.output, "interrupted after step 2");
  EXPECT_EQ(stopped.output.find("epoch 1/1"), std::string::npos) << "it was not tested";
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "bn-seed0: goes on from checkpoint.safetensors after step 2");
  expect_equal_studies(out("whole"), out("s"));
}

TEST_F(Resume, ARunWithoutACheckpointIsMovedAsideAndStartedAnew) {
  const fs::path run = fs::path(trained("s")) / "bn-seed0";
  for (const auto& path : RunDirectory(run).checkpoints().newest_first()) fs::remove(path);
  fs::remove(run / "final.safetensors");
  fs::resize_file(run / "metrics.nlog", fs::file_size(run / "metrics.nlog") / 2);  // no outcome
  const std::string torn = test::read_text(run / "metrics.nlog");
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_TRUE(test::read_text(fs::path(out("s")) / "bn-seed0.unfinished-1" / "metrics.nlog") == torn)
      << "nothing is lost";
  expect_equal_studies(trained("whole"), out("s"));  // which counts 3 runs
  EXPECT_TRUE(is_set_aside("bn-seed0.unfinished-12"));
  for (const char* name : {"bn-seed0", "bn-seed0.unfinished-", "bn-seed0.unfinished-1x", ""})
    EXPECT_FALSE(is_set_aside(name)) << name;
}

TEST_F(Resume, MoreSeedsAndNormsMayBeAsked) {
  const ProgramResult more = run_program("compare_norms --seeds 2 --norms bn,in --resume " + trained("s"));
  ASSERT_EQ(more.status, 0) << more.output;
  EXPECT_NE(more.output.find("1 run finished already, 3 to do"), std::string::npos) << more.output;
  EXPECT_EQ(find_runs(std::vector<fs::path>{out("s")}).size(), 6U);
  const RunConfig config = RunConfig::read(fs::path(out("s")) / "in-seed1" / "config.toml");
  EXPECT_EQ(config.text("epochs"), "2") << "options that are not typed are the study's";
  EXPECT_EQ(config.text("batch_size"), "17");
  const RunConfig study = RunConfig::read(fs::path(out("s")) / "study.toml");
  EXPECT_EQ(study.text("norms"), "none,bn,gn:4,in") << "what was asked before is not forgotten";
  EXPECT_EQ(study.text("seeds"), "2");
  const ProgramResult other = run_program("depth --resume " + out("s"));
  EXPECT_EQ(other.status, 2);
  EXPECT_HAS(other.output, "that study was made by compare_norms, this is depth");
}

TEST_F(Resume, RefusesWhatWasMadeOtherwiseAndSaysHow) {
  const std::string before = test::read_text(trained("s") + "/study.toml");
  const auto refused = [&](const std::string& arguments, const std::vector<std::string>& says,
                           const std::string& program = "compare_norms") {
    const ProgramResult result = run_program(program + " --resume " + out("s") + " " + arguments);
    EXPECT_EQ(result.status, 2) << arguments << result.output;
    for (const std::string& part : says)
      EXPECT_NE(result.output.find(part), std::string::npos) << part << " in " << result.output;
  };
  refused("--epochs 3", {"--epochs 2", "3", out("s")});
  refused("--batch-size 32", {"--batch-size 17", "32"});
  refused("--lr 0.5", {"--lr", "0.5"});
  refused("--conv direct", {"--conv auto", "direct"});
  refused("--init torch", {"--init he", "torch"});
  refused("--limit-train 150", {"--limit-train 100", "150"});
  refused("--val 50", {"--val 0", "50"});
  refused("--norms in --weight-decay 0", {"--weight-decay 0.0005", "0"});  // also where no run repeats
  refused("--data synthetic:7", {"other images", "synthetic:7"});
  refused("--full", {"--full"});
  refused("--out " + out("t"), {"--out"});
  EXPECT_EQ(test::read_text(out("s") + "/study.toml"), before) << "nothing may change";
  fs::create_directory(out("empty"));
  const ProgramResult nothing = run_program("compare_norms --resume " + out("empty"));
  EXPECT_EQ(nothing.status, 2);
  EXPECT_NE(nothing.output.find("study.toml"), std::string::npos) << nothing.output;
}

/// Studies from before there was a choice were convolved as auto does.
TEST_F(Resume, AStudyOlderThanConvIsOneOfAuto) {
  const auto forget = [](const fs::path& file) {
    std::string text = test::read_text(file);
    const std::size_t line = text.find("conv = ");
    ASSERT_NE(line, std::string::npos) << file;
    text.erase(line, text.find('\n', line) + 1 - line);
    std::ofstream(file) << text;
  };
  forget(fs::path(trained("s")) / "study.toml");
  for (const auto& entry : fs::directory_iterator(out("s")))
    if (entry.is_directory()) forget(entry.path() / "config.toml");
  const std::string resume = "compare_norms --resume " + out("s");
  const ProgramResult other = run_program(resume + " --conv direct");
  EXPECT_EQ(other.status, 2);
  EXPECT_NE(other.output.find("--conv auto"), std::string::npos) << other.output;
  EXPECT_EQ(run_program(resume).status, 0);
}

/// A study that was killed when its run had three checkpoints or more, anew for each test, beside a whole
/// one.
class ResumeMidway : public Resume {
 protected:
  static void SetUpTestSuite() {
    made_ = std::make_unique<test::TemporaryDirectory>();
    const std::string options =
        "--limit-train 100 --limit-test 100 --epochs 8 --diagnose 4 --batch-size 17 --norms bn --seeds 1 "
        "--threads 1 ";
    const std::string whole = (*made_ / "whole").string(), killed = (*made_ / "s").string();
    ASSERT_EQ(run_program("compare_norms " + options + "--out " + whole).status, 0);
    const ProgramResult result = run_program(
        "compare_norms " + options + "--checkpoint-every 2 --keep 3 --out " + killed +
        " & pid=$!; while [ -e /proc/$pid/exe ] && ! ls " + killed +
        "/bn-seed0/checkpoint-[1-9]*.safetensors >/dev/null 2>&1; do :; done; kill -9 $pid; wait $pid");
    ASSERT_FALSE(fs::exists(killed + "/bn-seed0/final.safetensors")) << result.output;
  }
  static void TearDownTestSuite() { made_.reset(); }
  void SetUp() override {
    fs::copy(made_->path(), directory_.path(), fs::copy_options::recursive);
    ASSERT_GE(RunDirectory(run()).checkpoints().newest_first().size(), 2U);
  }
  [[nodiscard]] fs::path run() const { return fs::path(out("s")) / "bn-seed0"; }

  /// Flips a bit of the byte at `at`; negative: from the end.
  static void damage(const fs::path& path, long at = -1) {
    std::string bytes = test::read_text(path);
    char& byte = bytes[at < 0 ? bytes.size() - 1 : static_cast<std::size_t>(at)];
    byte = static_cast<char>(byte ^ 1);
    test::write_text(path, bytes);
  }

  [[nodiscard]] static fs::path made() { return made_->path(); }

 private:
  static inline std::unique_ptr<test::TemporaryDirectory> made_;
};

TEST_F(ResumeMidway, ADamagedCheckpointIsSaidAndTheOneBeforeTaken) {
  const auto before = RunDirectory(run()).checkpoints().newest_first();
  damage(before[0]);
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, before[0].filename().string() + " is set aside: ");
  EXPECT_HAS(resumed.output, "its checksum is wrong");
  EXPECT_HAS(resumed.output, "goes on from " + before[1].filename().string());
  EXPECT_TRUE(fs::exists(before[0].string() + ".damaged-1"));
  expect_equal_studies(out("whole"), out("s"));
  EXPECT_EQ(RunDirectory(run()).checkpoints().newest_first().size(), 3U) << "--keep 3 is the study's";
  EXPECT_EQ(run_program("normlog verify " + out("s")).status, 0);
}

TEST_F(ResumeMidway, WithoutAGoodCheckpointTheRunBeginsAnew) {
  for (const auto& path : RunDirectory(run()).checkpoints().newest_first()) damage(path);
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "has no good checkpoint; it is moved aside and begun anew");
  EXPECT_TRUE(fs::exists(run().string() + ".unfinished-1"));
  expect_equal_studies(out("whole"), out("s"));
}

TEST_F(ResumeMidway, ALogThatLostItsEndTakesAnOlderCheckpoint) {
  const auto before = RunDirectory(run()).checkpoints().newest_first();
  const TensorFile older = read_safetensors(before[1]);
  const std::int64_t bytes = older.find("position.counters")->integers()[5];
  fs::resize_file(run() / "metrics.nlog", static_cast<std::uintmax_t>(bytes));
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "metrics.nlog' has " + std::to_string(bytes) + " bytes, but had ");
  expect_equal_studies(out("whole"), out("s"));
}

TEST_F(ResumeMidway, ADamagedHeaderIsNotTakenForAnotherVersion) {
  const auto before = RunDirectory(run()).checkpoints().newest_first();
  const std::size_t at = test::read_text(before[0]).find("normlab_checkpoint\":\"") + 21;
  damage(before[0], static_cast<long>(at));
  EXPECT_EQ(run_program("normlog verify " + out("s")).status, 1);
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "its header is damaged: its checksum is wrong");
  EXPECT_HAS(resumed.output, "goes on from " + before[1].filename().string() + " after step ");
  EXPECT_HAS(resumed.output, " rows logged since are cut and computed again");
  expect_equal_studies(out("whole"), out("s"));
}

TEST_F(ResumeMidway, ACheckpointOfAnotherRunIsNotGoneOnFrom) {
  const auto before = RunDirectory(run()).checkpoints().newest_first();
  TensorFile file = read_safetensors(before[0]);
  for (auto& [key, value] : file.metadata)
    if (key == "configuration") value.replace(value.find("seed = 0"), 8, "seed = 1");
  write_safetensors(before[0], file);
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "is set aside: it is of a run with seed 1, this one has 0");
  expect_equal_studies(out("whole"), out("s"));
}

/// No checkpoint helps when what was logged before it cannot be read any more.
TEST_F(ResumeMidway, ALogDamagedBeforeTheCheckpointIsBegunAnew) {
  for (const auto& [at, what] :
       {std::pair(3L, "its log cannot be read: "), {100L, "metrics.nlog' is damaged: bytes "}}) {
    SCOPED_TRACE(at);
    fs::remove_all(out("s"));
    fs::copy(made() / "s", out("s"), fs::copy_options::recursive);
    damage(run() / "metrics.nlog", at);
    const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
    ASSERT_EQ(resumed.status, 0) << resumed.output;
    EXPECT_HAS(resumed.output, what);
    EXPECT_HAS(resumed.output, "has no good checkpoint; it is moved aside and begun anew");
    expect_equal_studies(out("whole"), out("s"));
  }
}

TEST_F(ResumeMidway, WithoutItsConfigurationARunIsBegunAnew) {
  test::write_text(run() / "config.toml", "norm = \n");
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "bn-seed0: cannot go on without its config.toml: '");
  EXPECT_HAS(resumed.output, "line 1");
  EXPECT_TRUE(fs::exists(run().string() + ".unfinished-1/checkpoint.safetensors")) << "nothing is lost";
  expect_equal_studies(out("whole"), out("s"));
}

TEST_F(ResumeMidway, DamageOfAFinishedRunIsSaid) {
  fs::remove_all(out("s"));
  fs::rename(out("whole"), out("s"));
  damage(run() / "metrics.nlog");  // behind the outcome
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  EXPECT_EQ(resumed.status, 0);
  EXPECT_HAS(resumed.output, "1 run finished already");
  EXPECT_HAS(resumed.output, "bn-seed0: done, but '" + run().string() + "/metrics.nlog', bytes ");
}

TEST_F(ResumeMidway, ANewerCheckpointIsRefusedByName) {
  const auto newest = RunDirectory(run()).checkpoints().newest_first().front();
  TensorFile file = read_safetensors(newest);
  for (auto& [key, value] : file.metadata)
    if (key == "normlab_checkpoint") value = "9";
  write_safetensors(newest, file);
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  EXPECT_EQ(resumed.status, 1) << resumed.output;
  EXPECT_HAS(resumed.output, "made by a newer Normlab: checkpoint version 9");
}

TEST_F(ResumeMidway, AnotherInstructionSetNeedsToBeAllowedAndIsMarked) {
  const std::string isa = RunConfig::read(run() / "config.toml").text("isa");
  if (!isa.starts_with("avx")) GTEST_SKIP() << "this processor has only one instruction set";
  const std::string other =
      "cd " + test::bin_dir() + " && NORMLAB_ISA=portable ./compare_norms --resume " + out("s");
  const ProgramResult refused = test::run_command(other);
  EXPECT_EQ(refused.status, 2) << refused.output;
  EXPECT_HAS(refused.output, "bn-seed0 was begun with isa '" + isa + "', here '");
  EXPECT_HAS(refused.output, "--allow-other-cpu");
  EXPECT_FALSE(fs::exists(run().string() + ".unfinished-1")) << "nothing may change";

  const ProgramResult allowed = test::run_command(other + " --allow-other-cpu");
  ASSERT_EQ(allowed.status, 0) << allowed.output;
  EXPECT_HAS(allowed.output, "not repeatable to the bit: bn-seed0");
  const RunConfig config = RunConfig::read(run() / "config.toml");
  EXPECT_NE(config.text("isa"), isa);
  EXPECT_HAS(config.text("earlier_machine"), "to step ");
  EXPECT_HAS(config.text("earlier_machine"), isa);
  ASSERT_EQ(run_program("normlog csv " + out("s") + " --out " + out("csv")).status, 0);
  EXPECT_HAS(test::read_text(out("csv") + "/runs.csv"), "earlier_machine");
  ASSERT_EQ(run_program("normlog report " + out("s")).status, 0);
  EXPECT_HAS(test::read_text(out("s") + "/report.html"), "begun on another machine or build");
  EXPECT_EQ(test::read_text(out("s") + "/study.toml").find("allow-other-cpu"), std::string::npos)
      << "it is to be said each time";
}

TEST_F(Resume, DurableLogsHoldTheSame) {
  ASSERT_EQ(run_program("compare_norms " + kOptions + "--durable --keep 1 --out " + out("s")).status, 0);
  expect_equal_studies(trained("whole"), out("s"));
  EXPECT_EQ(RunDirectory(fs::path(out("s")) / "bn-seed0").checkpoints().newest_first().size(), 1U);
  EXPECT_EQ(RunDirectory(fs::path(out("whole")) / "bn-seed0").checkpoints().newest_first().size(), 2U);
  EXPECT_EQ(run_program("compare_norms --keep 0").status, 2);
}

TEST_F(Resume, OneProcessAtATime) {
  fs::create_directory(out("s"));
  const StudyDirectory here = StudyDirectory::open(out("s"));
  try {
    static_cast<void>(StudyDirectory::open(out("s") + "/"));
    FAIL() << "two at once";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("another process"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace normlab
