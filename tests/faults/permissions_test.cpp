// What may not be read or written is said to be so, and never taken for absent, damaged or empty.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/record/sample_study.hpp"
#include "tests/support/users_machine.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::program;
using test::ProgramResult;
using test::run_command;

class Permissions : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = test::without_privileges();
    if (before_ == "no") GTEST_SKIP() << "root's privileges cannot be dropped here";
    const StudyDirectory study = StudyDirectory::create("compare_norms", here / "study");
    for (const char* norm : {"bn", "ln", "none"}) test::write_run(study, {norm, 0, {0.5, 0.75}});
  }
  void TearDown() override {  // so that it can be removed
    static_cast<void>(run_command(fmt::format("chmod -R u+rwX '{}'", here.path().string())));
  }
  [[nodiscard]] ProgramResult run(const std::string& line) const {
    return run_command(fmt::format("cd '{}' && {}{}", here.path().string(), before_, line));
  }
  [[nodiscard]] ProgramResult normlog(const std::string& arguments) const {
    return run(program("normlog") + " " + arguments);
  }
  void close_to_all(const fs::path& path) const { ::chmod((here / path).c_str(), 0); }
  void open_again(const fs::path& path) const { ::chmod((here / path).c_str(), 0755); }

  const test::TemporaryDirectory here;

 private:
  std::string before_;
};

void expect_no_raw_words(const std::string& text) {
  EXPECT_EQ(text.find("filesystem error"), std::string::npos) << text;
  EXPECT_EQ(text.find("std::"), std::string::npos) << text;
}

/// One run that nobody may read hides neither itself nor the others, in every command.
TEST_F(Permissions, AnUnreadableRunIsNamedAndTheOthersAreShown) {
  for (const char* what : {"study/ln-seed0", "study/ln-seed0/metrics.nlog", "study/ln-seed0/config.toml"}) {
    close_to_all(what);
    for (const char* command :
         {"summary study", "csv study --out csv", "plot study --out plots --format svg",
          "report study --out page.html", "tensorboard study --out tb", "compare study study"}) {
      const ProgramResult result = normlog(command);
      EXPECT_EQ(result.status, 1) << command << what << result.output;
      EXPECT_HAS(result.output, "ln-seed0 is left out: cannot ");
      EXPECT_HAS(result.output, fmt::format("'{}", what));
      EXPECT_HAS(result.output, "Permission denied; you may not ");
      EXPECT_EQ(result.output.find("damage"), std::string::npos) << result.output;
      expect_no_raw_words(result.output);
    }
    EXPECT_HAS(normlog("summary study").output, "none  46,010");
    EXPECT_HAS(test::read_text(here / "csv/runs.csv"), "\nnone-seed0,done");
    const ProgramResult verified = normlog("verify study");
    EXPECT_EQ(verified.status, 1);
    EXPECT_HAS(verified.output, "UNREADABLE");
    EXPECT_HAS(verified.output, "good        study/none-seed0/metrics.nlog");
    const ProgramResult told = normlog("info study");
    EXPECT_EQ(told.status, 1) << told.output;
    EXPECT_HAS(told.output, "study/none-seed0\n");
    EXPECT_HAS(told.output, "Permission denied");
    expect_no_raw_words(told.output);
    const ProgramResult each = normlog("verify study/bn-seed0 study/ln-seed0 study/none-seed0");
    EXPECT_HAS(each.output, "good        study/none-seed0/metrics.nlog");
    EXPECT_HAS(each.output, "UNREADABLE");
    EXPECT_HAS(normlog("summary study/*-seed0").output, "none  46,010");
    open_again(what);
    fs::remove_all(here / "csv");
  }
  close_to_all("study/ln-seed0/metrics.nlog");
  const ProgramResult alone = normlog("summary study/ln-seed0");
  EXPECT_EQ(alone.status, 1);
  EXPECT_HAS(alone.output,
             "normlog: cannot open 'study/ln-seed0/metrics.nlog': Permission denied; you may not read it");
  close_to_all("study");
  const ProgramResult all = normlog("summary study");
  EXPECT_EQ(all.status, 1);
  EXPECT_HAS(all.output, "cannot list directory 'study': Permission denied");
  expect_no_raw_words(all.output);
}

TEST_F(Permissions, UnreadableDataAreNotMissing) {
  ASSERT_EQ(run(program("dataset") + " synthetic set --train 64 --test 10").status, 0);
  const std::string train =
      program("compare_norms") + " --norms bn --seeds 1 --epochs 1 --diagnose 0 --data ";
  fs::create_directory(here / "above");
  fs::rename(here / "set", here / "above/set");
  for (const char* what : {"above", "above/set", "above/set/data_batch_3.bin", "above/set/records.txt"}) {
    close_to_all(what);
    for (const std::string& line : {train + "above/set --out x", program("dataset") + " info above/set"}) {
      const ProgramResult result = run(line);
      EXPECT_EQ(result.status, 1) << result.output;
      EXPECT_HAS(result.output, "Permission denied; you may not ");
      EXPECT_HAS(result.output, what);
      EXPECT_EQ(result.output.find("fetch"), std::string::npos) << result.output;
      EXPECT_EQ(result.output.find("lacks"), std::string::npos) << result.output;
      expect_no_raw_words(result.output);
    }
    EXPECT_FALSE(fs::exists(here / "x"));
    open_again(what);
  }
}

TEST_F(Permissions, ARunThatMayNotBeReadIsNotBegunAnew) {
  ASSERT_EQ(run(program("dataset") + " synthetic set --train 64 --test 10").status, 0);
  ASSERT_EQ(run(program("compare_norms") +
                " --data set --norms bn,none --seeds 1 --epochs 1 --diagnose 0 --out trained")
                .status,
            0);
  for (const char* what : {"trained/bn-seed0", "trained/bn-seed0/config.toml",
                           "trained/bn-seed0/metrics.nlog", "trained/study.toml"}) {
    close_to_all(what);
    const ProgramResult resumed = run(program("compare_norms") + " --resume trained");
    EXPECT_NE(resumed.status, 0) << what;
    EXPECT_HAS(resumed.output, "Permission denied; you may not ");
    expect_no_raw_words(resumed.output);
    open_again(what);
    EXPECT_FALSE(fs::exists(here / "trained/bn-seed0.unfinished-1")) << what;
  }
  close_to_all("trained/bn-seed0/final.safetensors");
  const ProgramResult digests = normlog("digest trained");
  EXPECT_EQ(digests.status, 1);
  EXPECT_HAS(digests.output, "  none-seed0\n");
  EXPECT_HAS(digests.output, "bn-seed0: cannot open");
  open_again("trained/bn-seed0/final.safetensors");
  EXPECT_EQ(run(program("compare_norms") + " --resume trained").status, 0);
}

TEST_F(Permissions, APlaceThatMayNotBeWrittenIsNamed) {
  fs::create_directory(here / "locked");
  ::chmod((here / "locked").c_str(), 0555);
  for (const std::string& line :
       {program("compare_norms") + " --norms bn --seeds 1 --epochs 1 --limit-train 64 --out locked/study",
        program("normlog") + " csv study --out locked/csv",
        program("normlog") + " report study --out locked/page.html",
        program("dataset") + " synthetic locked/set"}) {
    const ProgramResult result = run(line);
    EXPECT_EQ(result.status, 1) << line;
    EXPECT_HAS(result.output, "Permission denied; choose a place you may write to");
    expect_no_raw_words(result.output);
  }
}

}  // namespace
}  // namespace normlab
