// Which checkpoints of a run stay, and what they are called.

#include "host/record/checkpoint_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "host/record/file.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

TensorFile file_of(std::int64_t steps) {
  return {{}, {NamedTensor::of("steps", {}, std::span<const std::int64_t>(&steps, 1))}};
}

/// Names and the steps in the files, as newest_first has them.
std::vector<std::string> listed(const std::filesystem::path& directory) {
  std::vector<std::string> all;
  for (const auto& path : CheckpointFiles(directory).newest_first()) {
    all.push_back(fmt::format("{} {}", path.filename().string(),
                              read_safetensors(path).find("steps")->integers().front()));
  }
  return all;
}

using Names = std::vector<std::string>;

TEST(CheckpointFiles, TheNewestStayUnderTheirSteps) {
  const test::TemporaryDirectory directory;
  CheckpointFiles files(directory.path());
  EXPECT_EQ(listed(directory / "missing"), Names{});
  for (const std::int64_t steps : {0, 9, 10, 100}) files.add(file_of(steps), steps, 3);
  EXPECT_EQ(listed(directory.path()), (Names{"checkpoint.safetensors 100", "checkpoint-10.safetensors 10",
                                             "checkpoint-9.safetensors 9"}));
  files.add(file_of(100), 100, 3);  // the same again
  EXPECT_EQ(listed(directory.path()).size(), 3U);
  files.add(file_of(101), 101, 1);
  EXPECT_EQ(listed(directory.path()), Names{"checkpoint.safetensors 101"});
}

TEST(CheckpointFiles, WhoeverGoesOnFromOneSaysSo) {
  const test::TemporaryDirectory directory;
  for (const std::int64_t steps : {5, 7}) {
    CheckpointFiles files(directory.path());  // another process
    if (steps == 7) files.go_on(5, 2);
    files.add(file_of(steps), steps, 2);
  }
  EXPECT_EQ(listed(directory.path()), (Names{"checkpoint.safetensors 7", "checkpoint-5.safetensors 5"}));
  // Killed after the old one was renamed, before the new one was.
  std::filesystem::remove(directory / "checkpoint.safetensors");
  CheckpointFiles files(directory.path());
  files.go_on(5, 2);
  files.add(file_of(8), 8, 2);
  EXPECT_EQ(listed(directory.path()), (Names{"checkpoint.safetensors 8", "checkpoint-5.safetensors 5"}));
}

TEST(CheckpointFiles, WhatAKilledProcessHadNoTimeToRemoveGoes) {
  const test::TemporaryDirectory directory;
  CheckpointFiles files(directory.path());
  for (const std::int64_t steps : {1, 2, 3, 4}) files.add(file_of(steps), steps, 9);
  files.go_on(4, 2);
  EXPECT_EQ(listed(directory.path()), (Names{"checkpoint.safetensors 4", "checkpoint-3.safetensors 3"}));
}

TEST(CheckpointFiles, OtherNamesAreNoCheckpoints) {
  const test::TemporaryDirectory directory;
  for (const char* name : {"checkpoint-.safetensors", "checkpoint-x.safetensors", "checkpoint-1x.safetensors",
                           "checkpoint--1.safetensors", "checkpoint-99999999999999999999.safetensors",
                           "checkpoint-1.safetensors.damaged-1", ".checkpoint.safetensors.12.tmp"})
    test::write_text(directory / name, "");
  EXPECT_EQ(listed(directory.path()), Names{});
  remove_temporaries(directory.path());
  EXPECT_FALSE(std::filesystem::exists(directory / ".checkpoint.safetensors.12.tmp"));
  EXPECT_TRUE(std::filesystem::exists(directory / "checkpoint-1.safetensors.damaged-1"));
}

TEST(CheckpointFiles, DamagedOnesAreSetAside) {
  const test::TemporaryDirectory directory;
  for (int i = 1; i <= 2; ++i) {
    test::write_text(directory / "checkpoint.safetensors", "x");
    CheckpointFiles::set_aside(directory / "checkpoint.safetensors");
    EXPECT_TRUE(std::filesystem::exists(directory / fmt::format("checkpoint.safetensors.damaged-{}", i)));
  }
  EXPECT_HAS(test::message_of([&] { CheckpointFiles::set_aside(directory / "none"); }), "cannot rename");
}

}  // namespace
}  // namespace normlab
