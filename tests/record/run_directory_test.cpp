#include "host/record/run_directory.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <regex>

#include "host/record/file.hpp"
#include "host/record/run_name.hpp"
#include "layers/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::message_of;
using test::TemporaryDirectory;

TEST(RunName, IsMadeOfNormSweptValuesAndSeed) {
  const auto arm = [](std::initializer_list<std::pair<const char*, const char*>> entries) {
    RunConfig config;
    for (const auto& [key, value] : entries) config.set(key, value);
    return arm_name(config);
  };
  EXPECT_EQ(arm({{"norm", "gn:4"}, {"batch_size", "2"}}), "gn4");
  EXPECT_EQ(arm({{"norm", "ln-elementwise"}}), "ln-elementwise");
  EXPECT_EQ(arm({{"norm", "bn"}, {"swept", "batch_size"}, {"batch_size", "2"}}), "bn-b2");
  EXPECT_EQ(
      arm({{"norm", "none"}, {"swept", "clip,init,depth"}, {"clip", "1"}, {"init", "he"}, {"depth", "40"}}),
      "none-d40-he-clip1");
  EXPECT_EQ(arm({{"norm", "bn"}, {"swept", "lr"}, {"lr", "0.1/../x"}}), "bn-lr0.1_.._x");
  EXPECT_EQ(arm({{"swept", "lr"}, {"lr", "0.1"}}), "");
  EXPECT_EQ(run_name("bn-b2", 3), "bn-b2-seed3");
}

TEST(StudyDirectory, AnExplicitOneIsMadeWithItsParents) {
  const TemporaryDirectory directory;
  const auto study = StudyDirectory::create("compare_norms", directory / "a/b/", directory / "runs");
  EXPECT_EQ(study.path(), directory / "a/b");
  EXPECT_FALSE(std::filesystem::exists(directory / "runs"));
  const RunDirectory run = study.create_run("bn-seed0");
  EXPECT_EQ(run.path(), directory / "a/b/bn-seed0");
  EXPECT_EQ(run.name(), "bn-seed0");
  EXPECT_EQ(run.metrics().filename(), "metrics.nlog");
  EXPECT_EQ(run.final_parameters().filename(), "final.safetensors");
}

TEST(StudyDirectory, NothingIsOverwritten) {
  const TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  (void)study.create_run("bn-seed0");
  EXPECT_HAS(message_of([&] { (void)StudyDirectory::create("x", directory / "study"); }), "exists already");
  EXPECT_HAS(message_of([&] { (void)study.create_run("bn-seed0"); }), "exists already");
  test::write_text(directory / "file", "precious");
  EXPECT_HAS(message_of([&] { (void)StudyDirectory::create("x", directory / "file"); }), "exists already");
  EXPECT_HAS(message_of([&] { (void)StudyDirectory::create("x", directory / "file/study"); }),
             "cannot create directory");
  EXPECT_EQ(test::read_text(directory / "file"), "precious");
  EXPECT_THROW((void)StudyDirectory::create("x", ""), UsageError);
}

TEST(StudyDirectory, AnEmptyDirectoryWillDo) {
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "volume/lost+found");
  EXPECT_EQ(StudyDirectory::create("x", directory / "volume").path(), directory / "volume");
  EXPECT_NO_THROW((void)StudyDirectory::create("x", directory / "volume/"));  // which began no run
  test::write_text(directory / "volume/.hidden", "precious");
  EXPECT_HAS(message_of([&] { (void)StudyDirectory::create("x", directory / "volume"); }), "is not empty");
  EXPECT_EQ(test::read_text(directory / "volume/.hidden"), "precious");
  std::filesystem::create_directory(directory / "taken");
  const auto study = StudyDirectory::create("x", directory / "taken");
  EXPECT_HAS(message_of([&] { (void)StudyDirectory::create("x", directory / "taken"); }),
             "another process is at work there");
}

TEST(StudyDirectory, WithoutANameItIsDatedAndLatest) {
  const TemporaryDirectory directory;
  const auto root = directory / "runs";
  const auto first = StudyDirectory::create("compare_norms", {}, root);
  EXPECT_TRUE(std::regex_match(first.path().filename().string(), std::regex(R"(compare_norms-\d{8}-\d{6})")))
      << first.path();
  EXPECT_EQ(std::filesystem::canonical(root / "latest"), std::filesystem::canonical(first.path()));
  // Twice within a second, and the link moves on.
  const auto second = StudyDirectory::create("compare_norms", {}, root);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(std::filesystem::canonical(root / "latest"), std::filesystem::canonical(second.path()));
  EXPECT_TRUE(std::filesystem::read_symlink(root / "latest").is_relative());  // runs/ may be moved
}

TEST(StudyDirectory, ALatestThatIsNoLinkIsLeftAlone) {
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "runs/latest");
  EXPECT_HAS(message_of([&] { (void)StudyDirectory::create("x", {}, directory / "runs"); }), "move it away");
}

TEST(StudyDirectory, APlaceThatCannotBeWrittenIsNamed) {
  if (::geteuid() == 0) {
    // Root may write everywhere but here.
    EXPECT_HAS(message_of([&] { (void)StudyDirectory::create("x", "/proc/normlab"); }), "'/proc/normlab'");
    return;
  }
  const TemporaryDirectory directory;
  ::chmod(directory.path().c_str(), 0555);
  const std::string message = message_of([&] { (void)StudyDirectory::create("x", directory / "study"); });
  EXPECT_HAS(message, "Permission denied");
  EXPECT_HAS(message, "choose a place you may write to");
  ::chmod(directory.path().c_str(), 0755);
}

RunConfig sample_config() {
  RunConfig config;
  config.set("norm", "gn:4");
  config.set("seed", 0);
  config.set("lr", 0.1);
  config.set("weight_decay", 5.0);
  config.set("tiny", 5e-324);
  config.set("clip", std::numeric_limits<double>::infinity());
  config.set("nesterov", true);
  config.set("images", std::size_t{50'000});
  config.set("cpu", std::string("AMD \"Zen\" 5\\x\n\ttab \x01 ü"));
  config.set("odd key.with dots", std::string_view("x"));
  config.set("a-first", std::int64_t{-1});
  return config;
}

TEST(RunConfig, ReadsBackEqualAndInOrder) {
  const TemporaryDirectory directory;
  const RunDirectory run(directory.path());
  run.write_config(sample_config());
  EXPECT_EQ(RunConfig::read(run.config()), sample_config());
  EXPECT_HAS(sample_config().to_toml(), "norm = \"gn:4\"\nseed = 0\nlr = 0.1\nweight_decay = 5.0\n");
}

TEST(RunConfig, ValuesAsTextAndNumber) {
  RunConfig config = sample_config();
  EXPECT_EQ(config.text("norm"), "gn:4");
  EXPECT_EQ(config.text("lr"), "0.1");
  EXPECT_EQ(config.text("nesterov"), "true");
  EXPECT_EQ(config.text("none"), "");
  EXPECT_EQ(config.number("images"), 50'000.0);
  EXPECT_EQ(config.number("lr"), 0.1);
  EXPECT_EQ(config.number("norm"), std::nullopt);
  config.set("norm", "bn");
  EXPECT_EQ(config.entries()[0].key, "norm");
  EXPECT_EQ(config.text("norm"), "bn");
}

TEST(RunConfig, FaultsAreNamedWithLineAndColumn) {
  EXPECT_HAS(message_of([] { (void)RunConfig::parse("a = 1\nb = = 2\n", "config.toml"); }),
             "'config.toml', line 2, column 5");
  EXPECT_HAS(message_of([] { (void)RunConfig::parse("a = 1\n[b]\nc = 2\n", "config.toml"); }), "line 2");
  EXPECT_HAS(message_of([] { (void)RunConfig::parse("a = [1, 2]\n", "config.toml"); }),
             "'a' is no plain value");
  EXPECT_HAS(message_of([] { (void)RunConfig::parse("a = 1\na = 2\n", "config.toml"); }), "line 2");
  EXPECT_ANY_THROW((void)RunConfig::parse("a = " + std::string(50'000, '['), "config.toml"));
}

TEST(AtomicFile, IsThereWholeOrNotAtAll) {
  const TemporaryDirectory directory;
  const auto path = directory / "file";
  atomic_write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new ");
    file.write(std::string(1 << 20, 'x'));
    EXPECT_EQ(test::read_text(path), "old");
  }
  EXPECT_EQ(test::read_text(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
  {
    AtomicFile file(path);
    file.write("a");
    file.write(std::string(1 << 20, 'x'));
    file.write("b");
    file.commit();
  }
  EXPECT_EQ(test::read_text(path), "a" + std::string(1 << 20, 'x') + "b");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(ReadTextFile, RefusesWhatIsTooLarge) {
  const TemporaryDirectory directory;
  test::write_text(directory / "file", "12345");
  EXPECT_EQ(read_text_file(directory / "file", 5), "12345");
  EXPECT_HAS(message_of([&] { (void)read_text_file(directory / "file", 4); }),
             "has 5 bytes, more than the 4");
}

}  // namespace
}  // namespace normlab
