// Files of every released format version stay readable:
// tests/record/released/log<version>-checkpoint<version>/ is a study as those versions wrote it, with the
// tables that come out of it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "host/record/log_reader.hpp"
#include "host/record/run_config.hpp"
#include "host/record/safetensors.hpp"
#include "host/record/verify.hpp"
#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;

std::vector<fs::path> released() {
  std::vector<fs::path> all;
  for (const auto& entry : fs::directory_iterator(fs::path(test::source_dir()) / "tests/record/released"))
    all.push_back(entry.path());
  return all;
}

class Released : public ::testing::TestWithParam<fs::path> {
 protected:
  [[nodiscard]] static bool is_sealed() { return !GetParam().filename().string().ends_with("checkpoint1"); }
};

TEST_P(Released, FilesAreGoodAndTablesAreWhatTheyWere) {
  for (const Verified& file : verify({{GetParam()}}))
    EXPECT_EQ(file.state, Verified::State::good) << file.path;
  const Log log = read_log(GetParam() / "bn-seed0" / "metrics.nlog");
  const TensorFile checkpoint = read_safetensors(GetParam() / "bn-seed0" / "checkpoint.safetensors");
  EXPECT_EQ(fmt::format("log{}-checkpoint{}", log.version, *checkpoint.metadata_of("normlab_checkpoint")),
            GetParam().filename().string());
  EXPECT_TRUE(log.outcome && log.outcome->status == RunStatus::done);
  // Before version 2 nobody can tell whether a header was changed, and that is said.
  const Verified of_checkpoint = verify_file(GetParam() / "bn-seed0" / "checkpoint.safetensors");
  EXPECT_HAS(of_checkpoint.lines.at(0), is_sealed() ? "bytes, checksums right" : "no checksum of the whole");
  const test::TemporaryDirectory directory;
  const ProgramResult csv =
      run_program("normlog csv " + GetParam().string() + " --out " + (directory / "csv").string());
  ASSERT_EQ(csv.status, 0) << csv.output;
  for (const auto& table : fs::directory_iterator(GetParam() / "csv")) {
    EXPECT_TRUE(test::read_text(directory / "csv" / table.path().filename()) == test::read_text(table.path()))
        << table.path();
  }
}

/// A run of that version, killed in its third epoch, goes on. (If the synthetic images ever change on
/// purpose, such studies cannot be gone on with any more, and this test has served.)
TEST_P(Released, RunsGoOn) {
  const test::TemporaryDirectory directory;
  const fs::path study = directory / "study", run = study / "bn-seed0";
  fs::copy(GetParam(), study, fs::copy_options::recursive);
  const Log before = read_log(run / "metrics.nlog");
  fs::remove(run / "final.safetensors");
  fs::remove(run / "checkpoint.safetensors");  // what stays is that of step 6
  fs::resize_file(run / "metrics.nlog", fs::file_size(run / "metrics.nlog") - 1500);
  const ProgramResult resumed = run_program("compare_norms --allow-other-cpu --resume " + study.string());
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_HAS(resumed.output, "1 of them from a checkpoint");
  const auto warning = resumed.output.find(
      "bn-seed0: checkpoint-6.safetensors is of version 1, which has no checksum of the whole: not every "
      "change to it would be noticed\n");
  EXPECT_EQ(warning == std::string::npos, is_sealed()) << resumed.output;
  const Log after = read_log(run / "metrics.nlog");
  ASSERT_EQ(after.rows.size(), before.rows.size());
  // Rows before the checkpoint stay; whatever machine this is, the others are computed anew.
  const auto kept =
      static_cast<std::size_t>(read_safetensors(GetParam() / "bn-seed0/checkpoint-6.safetensors")
                                   .find("position.counters")
                                   ->integers()[6]);
  ASSERT_GT(kept, 20U);
  for (std::size_t i = 0; i < kept; ++i) {
    const auto was = before.values_of(before.rows[i]), is = after.values_of(after.rows[i]);
    EXPECT_TRUE(std::equal(was.begin(), was.end(), is.begin(), is.end())) << i;
  }
  EXPECT_TRUE(after.outcome && after.outcome->status == RunStatus::done);
}

INSTANTIATE_TEST_SUITE_P(Versions, Released, ::testing::ValuesIn(released()), [](const auto& info) {
  std::string name = info.param.filename().string();
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace normlab
