// Which runs are the same, and which only have the same name.

#include "host/record/run_identity.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/record/sample_study.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::SampleRun;

class RunIdentity : public ::testing::Test {
 protected:
  test::TemporaryDirectory directory;
  std::vector<std::filesystem::path> studies;

  void write(const char* name, const std::vector<SampleRun>& samples) {
    studies.push_back(directory / name);
    const auto study = StudyDirectory::create("x", studies.back());
    for (const SampleRun& sample : samples) test::write_run(study, sample);
  }
  [[nodiscard]] std::vector<RunResults> read() const {
    std::vector<RunResults> results;
    for (const auto& run : find_runs(studies)) results.push_back(read_run(run));
    return results;
  }
};

TEST_F(RunIdentity, TheSameRunCountsOnceHoweverItWasMade) {
  write("a", {{"bn", 0, {0.5}}, {"bn", 1, {0.6}}});
  write("b", {{"bn", 1, {0.6}}, {"bn", 2, {0.5}}});
  const DistinctRuns found = distinct_runs(read());
  EXPECT_EQ(found.kept.size(), 3U);
  ASSERT_EQ(found.sentences.size(), 1U);
  EXPECT_EQ(found.sentences[0],
            fmt::format("There more than once, with the same settings, seed and results (in {}, {}): "
                        "bn-seed1.",
                        studies[0].string(), studies[1].string()));
}

TEST_F(RunIdentity, CircumstancesAndPlacesDoNotCount) {
  std::vector<SampleRun> twice(2, SampleRun{"bn", 0, {0.5}});
  for (SampleRun& run : twice) run.config = {{"data_digest", "d1"}};
  for (const char* key :
       {"cpu", "isa", "device", "revision", "build", "threads", "shard_samples", "command", "data",
        "experiment", "lr_choice", "lr_test", "earlier_machine", "diagnose", "memory_bytes"})
    twice[1].config.emplace_back(key, "another");
  write("a", {twice[0]});
  write("b", {twice[1]});
  EXPECT_EQ(distinct_runs(read()).kept.size(), 1U);
}

TEST_F(RunIdentity, EverySettingCounts) {
  write("a", {{"bn", 0, {0.5}}});
  int others = 0;
  for (const char* key : {"lr", "epochs", "batch_size", "net", "width", "data_digest", "train_images",
                          "test_images", "val_images", "clip", "init", "precision", "a_key_of_later"}) {
    SampleRun run{"bn", 0, {0.5}};
    run.config = {{key, "7"}};
    write(fmt::format("other-{}", others++).c_str(), {run});
  }
  const DistinctRuns found = distinct_runs(read());
  EXPECT_EQ(found.kept.size(), others + 1U);
  EXPECT_TRUE(found.sentences.empty());
}

/// A study that was begun by an older version, and gone on with, stays one study.
TEST_F(RunIdentity, KeysThatOlderVersionsDidNotWriteHaveTheirValue) {
  SampleRun run{"bn", 0, {0.5}};
  run.config = {{"precision", "fp32"}};
  write("a", {run});
  run.config = {{"precision", "fp32"},
                {"bn", "own"},
                {"conv", "auto"},
                {"pixel_mean", "0.4914,0.4822,0.4465"},
                {"pixel_std", "0.247,0.2435,0.2616"}};
  write("b", {run});
  EXPECT_EQ(distinct_runs(read()).kept.size(), 1U);
  run.config[2].second = "direct";
  write("c", {run});
  EXPECT_EQ(distinct_runs(read()).kept.size(), 2U);
}

/// A copy that was not finished has no results to be the same.
TEST_F(RunIdentity, UnfinishedCopiesAreNoEqualResults) {
  SampleRun run{"bn", 0, {0.5}, RunStatus::interrupted};
  write("a", {run});
  run.status = RunStatus::done;
  write("b", {run});
  const DistinctRuns found = distinct_runs(read());
  EXPECT_EQ(found.kept, (std::vector<std::size_t>{1}));
  ASSERT_EQ(found.sentences.size(), 1U);
  EXPECT_EQ(found.sentences[0],
            fmt::format("There more than once, with the same settings and seed, but not finished everywhere: "
                        "bn-seed0 (done in {}).",
                        studies[1].string()));
}

TEST_F(RunIdentity, OtherResultsOfTheSameRunAreSaid) {
  SampleRun run{"bn", 0, {0.5, 0.60}};
  run.config = {{"isa", "avx512"}};
  write("a", {run});
  run.test_accuracies[1] = 0.61;
  run.config = {{"isa", "avx2"}};
  write("b", {run});
  const DistinctRuns found = distinct_runs(read());
  EXPECT_EQ(found.kept, (std::vector<std::size_t>{0}));
  ASSERT_EQ(found.sentences.size(), 1U);
  EXPECT_EQ(
      found.sentences[0],
      fmt::format(
          "There more than once, with the same settings and seed but DIFFERENT results: bn-seed0 (60.00 % "
          "in {}, 61.00 % in {}; isa 'avx512' and 'avx2').",
          studies[0].string(), studies[1].string()));
}

TEST_F(RunIdentity, OfAStoppedRunAndAFinishedOneTheFinishedCounts) {
  SampleRun stopped{"bn", 0, {0.5}, RunStatus::interrupted};
  stopped.config = {{"epochs", "2"}};
  write("a", {stopped});
  write("b", {{"bn", 0, {0.5, 0.6}}});
  const auto runs = read();
  const DistinctRuns found = distinct_runs(runs);
  ASSERT_EQ(found.kept.size(), 1U);
  EXPECT_EQ(runs[found.kept[0]].status, "done");
}

/// Nobody knows which run it is.
TEST_F(RunIdentity, WithoutItsConfigurationARunIsNoOther) {
  write("a", {{"bn", 0, {0.5}}});
  write("b", {{"bn", 0, {0.5}}});
  for (const auto& study : studies) std::filesystem::remove(study / "bn-seed0/config.toml");
  EXPECT_EQ(distinct_runs(read()).kept.size(), 2U);
}

}  // namespace
}  // namespace normlab
