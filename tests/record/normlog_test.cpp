// The program: exit status and where its words go.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <algorithm>
#include <regex>

#include "host/record/crc32c.hpp"
#include "host/record/log_format.hpp"
#include "host/record/safetensors.hpp"
#include "tests/record/sample_study.hpp"
#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

struct Answer {
  int status = -1;
  std::string text;  // standard output and error
};

Answer normlog(const std::string& arguments) {
  Answer answer;
  FILE* pipe = ::popen((test::bin_dir() + "/normlog " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return answer;
  char part[4096];
  for (std::size_t got = 0; (got = ::fread(part, 1, sizeof part, pipe)) > 0;) answer.text.append(part, got);
  answer.status = WEXITSTATUS(::pclose(pipe));
  return answer;
}

class Normlog : public ::testing::Test {
 protected:
  test::TemporaryDirectory directory;
  std::string study = (directory / "study").string();

  void SetUp() override {
    if (!std::filesystem::exists(test::bin_dir() + "/normlog")) GTEST_SKIP() << "normlog is not built";
    const auto made = StudyDirectory::create("x", directory / "study");
    test::write_run(made, {"bn", 0, {0.5, 0.75}});
    test::write_run(made, {"gn:4", 0, {0.5, 0.7}});
    const float value[] = {1};
    write_safetensors(directory / "study/bn-seed0/final.safetensors",
                      {{{"net", "net_a"}}, {NamedTensor::of("c1.conv.weight", {1}, value)}});
  }
};

TEST_F(Normlog, Csv) {
  const Answer answer = normlog("csv " + study);
  EXPECT_EQ(answer.status, 0);
  EXPECT_HAS(answer.text, study + "/csv/epochs.csv\n");
  EXPECT_TRUE(std::filesystem::exists(directory / "study/csv/runs.csv"));
  EXPECT_EQ(normlog("csv " + study).status, 0);  // derived files are written anew
  EXPECT_EQ(normlog("csv " + study + "/bn-seed0 " + study + "/gn4-seed0").status, 2);
  EXPECT_EQ(normlog("csv " + study + "/bn-seed0 --out " + study + "/mine").status, 0);
  EXPECT_TRUE(std::filesystem::exists(directory / "study/mine/steps.csv"));
}

TEST_F(Normlog, Summary) {
  const Answer answer = normlog("summary " + study);
  EXPECT_EQ(answer.status, 0);
  EXPECT_HAS(answer.text, "gn:4");
  EXPECT_HAS(answer.text, "-5.00");
}

TEST_F(Normlog, TheSameStudyTwiceIsOneStudy) {
  const std::string copy = (directory / "copy").string();
  std::filesystem::copy(study, copy, std::filesystem::copy_options::recursive);
  const auto table_of = [](const std::string& text) {
    return text.substr(0, text.find("\n\n", text.find("───")));
  };
  const Answer once = normlog("summary " + study), twice = normlog("summary " + study + " " + copy);
  EXPECT_EQ(table_of(twice.text), table_of(once.text));
  EXPECT_HAS(std::regex_replace(twice.text, std::regex("\\s+"), " "),
             "There more than once, with the same settings, seed and results (in " + copy + ", " + study +
                 "): bn-seed0, gn4-seed0. Of each only the first that ended counts. ");
  const Answer csv = normlog("csv " + study + " " + copy + " --out " + study + "/csv");
  EXPECT_HAS(csv.text, "gn4-seed0. Each of them has its rows.\n");
  const Answer plot = normlog("plot " + study + " " + copy + " --format svg --out " + study + "/plots");
  EXPECT_EQ(plot.status, 0) << plot.text;
  EXPECT_HAS(plot.text, "note: There more than once");
}

TEST_F(Normlog, Info) {
  Answer answer = normlog("info " + study);
  EXPECT_EQ(answer.status, 0);
  EXPECT_HAS(answer.text, "step.grad_norm");
  EXPECT_HAS(answer.text, "norm = gn:4");
  EXPECT_HAS(answer.text, "c1.conv.weight");
  answer = normlog("info " + study + "/bn-seed0/metrics.nlog");
  EXPECT_EQ(answer.status, 0);
  EXPECT_HAS(answer.text, "no damage");
}

TEST_F(Normlog, DamageIsReadAroundAndMakesStatus1) {
  const auto log = directory / "study/bn-seed0/metrics.nlog";
  std::string bytes = test::read_text(log);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  test::write_text(log, bytes);
  for (const char* command : {"csv ", "summary ", "info "}) {
    const Answer answer = normlog(command + study);
    EXPECT_EQ(answer.status, 1) << command;
    EXPECT_HAS(answer.text, "normlog: damage: ");
  }
  EXPECT_HAS(test::read_text(directory / "study/csv/epochs.csv"), "gn4-seed0,gn:4,0,2,4,test");
}

TEST_F(Normlog, CsvOfDamagedLogsMayBeAllowed) {
  const auto log = directory / "study/bn-seed0/metrics.nlog";
  std::string bytes = test::read_text(log);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  test::write_text(log, bytes);
  const Answer answer = normlog("csv --allow-damage " + study);
  EXPECT_EQ(answer.status, 0);
  EXPECT_HAS(answer.text, "normlog: damage: ");
}

TEST_F(Normlog, VerifyTellsGoodFilesFromDamagedOnes) {
  test::write_text(directory / "study/gn4-seed0/final.safetensors",
                   test::read_text(directory / "study/bn-seed0/final.safetensors"));
  Answer answer = normlog("verify " + study);
  EXPECT_EQ(answer.status, 0) << answer.text;
  EXPECT_HAS(answer.text, "good        " + study + "/bn-seed0/metrics.nlog\n");
  EXPECT_HAS(answer.text, "blocks of 32 KiB, done");
  EXPECT_EQ(answer.text.find("DAMAGED"), std::string::npos);

  // A log without its end belongs to a run that was killed: not damaged.
  const auto log = directory / "study/bn-seed0/metrics.nlog";
  const std::string whole = test::read_text(log);
  test::write_text(log, whole.substr(0, whole.size() / 2));
  answer = normlog("verify " + log.string());
  EXPECT_EQ(answer.status, 0);
  EXPECT_HAS(answer.text, "unfinished  " + log.string());

  std::string bytes = whole;
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  test::write_text(log, bytes);
  answer = normlog("verify " + study);
  EXPECT_EQ(answer.status, 1);
  EXPECT_HAS(answer.text, "DAMAGED     " + log.string());
  EXPECT_HAS(answer.text, "(block 0): a record is damaged; it and the rest of its block are lost");
  EXPECT_HAS(answer.text, "0 rows are lost, and those at the end, which nothing counts; ");

  // What a checkpoint says was logged must be there.
  const std::int64_t counters[8] = {1, 0, 0, 0, 0, static_cast<std::int64_t>(whole.size()), 1, 0};
  const auto checkpoint = directory / "study/bn-seed0/checkpoint.safetensors";
  write_safetensors(
      checkpoint, {{}, {NamedTensor::of("position.counters", {8}, std::span<const std::int64_t>(counters))}});
  for (const std::size_t size : {std::size_t{0}, whole.size() - 1}) {
    test::write_text(log, whole.substr(0, size));
    answer = normlog("verify " + study);
    EXPECT_EQ(answer.status, 1);
    EXPECT_HAS(answer.text, fmt::format("it has {} bytes, but had {} when checkpoint.safetensors was made",
                                        size, whole.size()));
  }
  std::filesystem::remove(checkpoint);

  test::write_text(directory / "study/study.toml", "norms = ");
  answer = normlog("verify " + study);
  EXPECT_HAS(answer.text, "DAMAGED     " + study + "/study.toml");
  std::filesystem::remove(directory / "study/study.toml");

  test::write_text(log, whole);
  std::string tensors = test::read_text(directory / "study/gn4-seed0/final.safetensors");
  tensors.back() = static_cast<char>(tensors.back() ^ 1);
  test::write_text(directory / "study/gn4-seed0/final.safetensors", tensors);
  std::filesystem::remove(directory / "study/bn-seed0/final.safetensors");
  test::write_text(directory / "study/bn-seed0/config.toml", "norm = [");
  answer = normlog("verify " + study + "/gn4-seed0 " + study + "/bn-seed0");
  EXPECT_EQ(answer.status, 1);
  EXPECT_HAS(answer.text, "tensor 'c1.conv.weight' is damaged");
  EXPECT_HAS(answer.text, "bn-seed0/final.safetensors\n            missing");
  EXPECT_HAS(answer.text, "DAMAGED     " + study + "/bn-seed0/config.toml");
  EXPECT_EQ(normlog("verify " + study + "/none").status, 1);
}

TEST_F(Normlog, FailuresAreOneClearError) {
  const auto fails = [](const std::string& arguments, const std::string& words) {
    const Answer answer = normlog(arguments);
    EXPECT_EQ(answer.status, 1) << arguments;
    EXPECT_HAS(answer.text, words);
    EXPECT_EQ(std::count(answer.text.begin(), answer.text.end(), '\n'), 1) << answer.text;
  };
  fails("info " + study + "/none", "No such file or directory");
  fails("summary " + study + "/none", "does not exist");
  fails("csv " + study + "/bn-seed0 --out /proc/normlab", "cannot create directory '/proc/normlab'");
  const std::string other = (directory / "other").string();
  test::write_text(other, "run,norm\n");
  fails("info " + other, "is not a metric log");

  log_format::BlockHeader header{log_format::magic, 2, 0, 0, 0, 0};
  header.checksum = crc32c(std::as_bytes(std::span(&header, 1)).first(28));
  test::write_text(other, {reinterpret_cast<const char*>(&header), sizeof header});
  fails("info " + other, "made by a newer Normlab: log version 2, this build reads 1");
  fails("info " + study + "/bn-seed0/config.toml", "is not a metric log");
}

TEST_F(Normlog, WrongUsageIsStatus2HelpIs0) {
  EXPECT_EQ(normlog("").status, 2);
  const Answer unknown = normlog("paint " + study);
  EXPECT_EQ(unknown.status, 2);
  EXPECT_HAS(unknown.text, "normlog: 'paint' is no command; choose one of csv, summary, ");
  EXPECT_HAS(normlog("csv " + study + " --paint").text,
             "normlog: '--paint' is no option here\nTry 'normlog csv --help'");
  EXPECT_EQ(normlog("csv").status, 2);
  const Answer help = normlog("--help");
  EXPECT_EQ(help.status, 0);
  EXPECT_HAS(help.text, "normlog summary runs/latest");
}

}  // namespace
}  // namespace normlab
