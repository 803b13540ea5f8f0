// Disks that are really full: a small tmpfs in a mount namespace of its own, on which programs run as users
// run them.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "host/record/log_reader.hpp"
#include "host/record/run_results.hpp"
#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::ProgramResult;
using test::run_command;

/// A tmpfs of so many KiB at $disk, on which a script runs.
ProgramResult on_small_disk(int kibibytes, const std::string& script) {
  return run_command(
      fmt::format("unshare -rm sh -c 'disk=$(mktemp -d) && mount -t tmpfs -o size={}k none $disk || exit 77; "
                  "cd {} && {{ {} }}; "
                  "status=$?; umount $disk; rmdir $disk; exit $status'",
                  kibibytes, test::bin_dir(), script));
}

#define SKIP_WITHOUT_NAMESPACES()             \
  if (on_small_disk(64, "true;").status != 0) \
  GTEST_SKIP() << "no small disk can be mounted here (unshare -rm, mount -t tmpfs)"

const std::string kOptions =
    "--norms bn --seeds 1 --net plain:4 --epochs 2 --batch-size 5 --limit-train 100 --limit-test 50 "
    "--threads 1 ";

/// The disk is full after some KiB, wherever the study then is: writing a checkpoint, the log, a
/// configuration. With more room it goes on, and ends as if nothing had happened.
TEST(FullDisk, StopsAStudyWithAClearErrorAndItGoesOnWithRoom) {
  SKIP_WITHOUT_NAMESPACES();
  const test::TemporaryDirectory directory;
  const auto whole = directory / "whole";
  ASSERT_EQ(run_command(fmt::format("cd {} && ./compare_norms {} --out {}", test::bin_dir(), kOptions,
                                    whole.string()))
                .status,
            0);
  const std::string run = "bn-seed0";
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(whole / run)) bytes += entry.file_size();
  int stopped = 0, verified = 0;
  for (int part = 1; part <= 5; ++part) {
    const int kibibytes = static_cast<int>(bytes / 1024) * part / 5;
    SCOPED_TRACE(kibibytes);
    const auto rescued = directory / fmt::format("s{}", part);
    const ProgramResult result = on_small_disk(
        kibibytes,
        fmt::format(
            "./compare_norms {} --out $disk/s; echo first: $?; ./normlog verify $disk/s; echo verified: $?; "
            "mount -o remount,size=64m $disk && ./compare_norms --resume $disk/s; echo again: $?; cp -r "
            "$disk/s {};",
            kOptions, rescued.string()));
    const bool was_stopped = result.output.find("first: 1") != std::string::npos;
    if (!was_stopped) {
      EXPECT_HAS(result.output, "first: 0");
      continue;
    }
    ++stopped;
    EXPECT_HAS(result.output, "No space left on device; free some space");
    // What was written before can be read, once there is a log.
    if (result.output.find("metrics.nlog\n") != std::string::npos) {
      EXPECT_HAS(result.output, "verified: 0");
      ++verified;
    }
    // A run that was not even begun has nothing to verify, a study without its options nothing to go on with.
    if (result.output.find("study.toml is missing") != std::string::npos) continue;
    EXPECT_HAS(result.output, "again: 0");
    EXPECT_EQ(
        first_difference(read_log(whole / run / "metrics.nlog"), read_log(rescued / run / "metrics.nlog")),
        "")
        << result.output;
    EXPECT_TRUE(test::read_text(whole / run / "final.safetensors") ==
                test::read_text(rescued / run / "final.safetensors"));
  }
  EXPECT_GE(stopped, 3);
  EXPECT_GE(verified, 3);
}

TEST(FullDisk, LeavesNoHalfTable) {
  SKIP_WITHOUT_NAMESPACES();
  const test::TemporaryDirectory directory;
  const std::string whole = (directory / "whole").string();
  ASSERT_EQ(run_command(fmt::format("cd {} && ./compare_norms {} --out {}", test::bin_dir(), kOptions, whole))
                .status,
            0);
  const std::string tables = (directory / "csv").string();
  ASSERT_EQ(test::run_program(fmt::format("normlog csv {} --out {}", whole, tables)).status, 0);
  const ProgramResult full = on_small_disk(
      16,
      fmt::format("./normlog csv {0} --out $disk/csv; echo first: $?; cd $disk/csv; for table in *; do "
                  "cmp $table {1}/$table && echo whole: $table || echo half: $table; done; cd - >/dev/null; "
                  "mount -o remount,size=64m $disk && ./normlog csv {0} --out $disk/csv; echo again: $?; "
                  "diff -r $disk/csv {1} && echo the same;",
                  whole, tables));
  EXPECT_HAS(full.output, "whole: ") << "one has room";
  EXPECT_EQ(full.output.find("half: "), std::string::npos) << full.output;
  EXPECT_HAS(full.output, "the same");
  EXPECT_HAS(full.output, "first: 1");
  EXPECT_HAS(full.output, "No space left on device; free some space");
  EXPECT_HAS(full.output, "again: 0");
}

}  // namespace
}  // namespace normlab
