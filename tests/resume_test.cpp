// Studies that stop and go on: finished runs stay as they are, the others end with the bits they would have
// had, and a directory that was made otherwise is refused.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "host/record/log_reader.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_results.hpp"
#include "layers/error.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::run_program;

const std::string kOptions =
    "--limit-train 200 --limit-test 100 --epochs 2 --batch-size 33 --norms none,bn,gn:4 --seeds 1 --threads "
    "2 ";

class Resume : public ::testing::Test {
 protected:
  [[nodiscard]] std::string out(const std::string& name) const { return (directory_.path() / name).string(); }

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
  ASSERT_EQ(run_program("compare_norms " + kOptions + "--out " + out("whole")).status, 0);
  // Killed once the first run ended: one is done, another is on its way or not begun.
  const ProgramResult killed = run_program("compare_norms " + kOptions + "--jobs 1 --out " + out("s") +
                                           " & pid=$!; while kill -0 $pid 2>/dev/null && [ ! -e " + out("s") +
                                           "/bn-seed0 ]; do sleep 0.01; done; kill -9 $pid; wait $pid");
  ASSERT_EQ(read_run(fs::path(out("s")) / "none-seed0").status, "done") << killed.output;
  ASSERT_FALSE(fs::exists(out("s") + "/gn4-seed0"));
  const auto written = fs::last_write_time(out("s") + "/none-seed0/final.safetensors");

  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_NE(resumed.output.find("resumed: 1 runs are finished already, 2 are to do"), std::string::npos)
      << resumed.output;
  EXPECT_EQ(fs::last_write_time(out("s") + "/none-seed0/final.safetensors"), written) << "must stay as it is";
  expect_equal_studies(out("whole"), out("s"));

  const ProgramResult again = run_program("compare_norms --resume " + out("s"));
  EXPECT_EQ(again.status, 0) << again.output;
  EXPECT_NE(again.output.find("3 runs are finished already, 0 are to do"), std::string::npos) << again.output;
  EXPECT_NE(again.output.find("gn:4"), std::string::npos) << "the table is printed again";
}

// What an experiment measures on the way goes on, too: here a landscape every second step, with augmentation.
TEST_F(Resume, MeasurementsGoOnInTheMiddleOfAnEpoch) {
  const std::string options =
      "loss_landscape --limit-train 480 --limit-test 50 --epochs 2 --batch-size 16 --norms bn --augment "
      "--every 2 "
      "--checkpoint-every 3 --out ";
  ASSERT_EQ(run_program(options + out("whole")).status, 0);
  // Stopped once a checkpoint later than the first stands there.
  const std::string checkpoint = out("s") + "/bn-seed0/checkpoint.safetensors";
  const ProgramResult stopped =
      run_program(options + out("s") +
                  " & pid=$!; first=; while kill -0 $pid 2>/dev/null; do now=$(stat -c %i " + checkpoint +
                  " 2>/dev/null); [ -n \"$first\" ] && [ \"$now\" != \"$first\" ] && "
                  "{ kill $pid; break; }; first=${first:-$now}; done; wait $pid");
  ASSERT_EQ(stopped.status, 130) << stopped.output;
  const ProgramResult resumed = run_program("loss_landscape --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  expect_equal_studies(out("whole"), out("s"));
}

TEST_F(Resume, ARunWithoutACheckpointIsMovedAsideAndStartedAnew) {
  ASSERT_EQ(run_program("compare_norms " + kOptions + "--out " + out("whole")).status, 0);
  ASSERT_EQ(run_program("compare_norms " + kOptions + "--out " + out("s")).status, 0);
  const fs::path run = fs::path(out("s")) / "bn-seed0";
  fs::remove(run / "checkpoint.safetensors");
  fs::remove(run / "final.safetensors");
  fs::resize_file(run / "metrics.nlog", fs::file_size(run / "metrics.nlog") / 2);  // no outcome
  const std::string torn = test::read_text(run / "metrics.nlog");
  const ProgramResult resumed = run_program("compare_norms --resume " + out("s"));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_TRUE(test::read_text(fs::path(out("s")) / "bn-seed0.unfinished-1" / "metrics.nlog") == torn)
      << "nothing is lost";
  expect_equal_studies(out("whole"), out("s"));  // which counts 3 runs
  EXPECT_TRUE(is_set_aside("bn-seed0.unfinished-12"));
  for (const char* name : {"bn-seed0", "bn-seed0.unfinished-", "bn-seed0.unfinished-1x", ""})
    EXPECT_FALSE(is_set_aside(name)) << name;
}

TEST_F(Resume, MoreSeedsAndNormsMayBeAsked) {
  ASSERT_EQ(run_program("compare_norms " + kOptions + "--out " + out("s")).status, 0);
  const ProgramResult more = run_program("compare_norms --seeds 2 --norms bn,in --resume " + out("s"));
  ASSERT_EQ(more.status, 0) << more.output;
  EXPECT_NE(more.output.find("1 runs are finished already, 3 are to do"), std::string::npos) << more.output;
  EXPECT_EQ(find_runs(std::vector<fs::path>{out("s")}).size(), 6U);
  const RunConfig config = RunConfig::read(fs::path(out("s")) / "in-seed1" / "config.toml");
  EXPECT_EQ(config.text("epochs"), "2") << "options that are not typed are the study's";
  EXPECT_EQ(config.text("batch_size"), "33");
}

TEST_F(Resume, RefusesWhatWasMadeOtherwiseAndSaysHow) {
  ASSERT_EQ(run_program("compare_norms " + kOptions + "--out " + out("s")).status, 0);
  const std::string before = test::read_text(out("s") + "/study.toml");
  const auto refused = [&](const std::string& arguments, const std::vector<std::string>& says,
                           const std::string& program = "compare_norms") {
    const ProgramResult result = run_program(program + " --resume " + out("s") + " " + arguments);
    EXPECT_EQ(result.status, 2) << arguments << result.output;
    for (const std::string& part : says)
      EXPECT_NE(result.output.find(part), std::string::npos) << part << " in " << result.output;
  };
  refused("--epochs 3", {"--epochs 2", "3", out("s")});
  refused("--batch-size 32", {"--batch-size 33", "32"});
  refused("--lr 0.5", {"--lr", "0.5"});
  refused("--init torch", {"--init he", "torch"});
  refused("--limit-train 150", {"--limit-train 200", "150"});
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
