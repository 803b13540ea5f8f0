// What `cmake --install` puts elsewhere works there: with no build beside it, and next to nothing in the
// environment.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_command;
using test::TemporaryDirectory;

bool is_there(const std::string& tool) {
  return run_command("command -v " + tool).status == 0;
}

class Install : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!is_there("cmake")) return;
    root = new TemporaryDirectory;
    const ProgramResult result = run_command(
        fmt::format("cmake --install '{}' --prefix '{}'", build().string(), root->path().string()));
    ASSERT_EQ(result.status, 0) << result.output;
    ASSERT_EQ(run("dataset synthetic set --train 640 --test 10").status, 0);
  }
  static void TearDownTestSuite() { delete root; }
  void SetUp() override {
    if (root == nullptr) GTEST_SKIP() << "no cmake here";
  }

  static fs::path build() { return fs::path(test::bin_dir()).parent_path(); }
  static fs::path documents() { return *root / "share/doc/normlab"; }
  /// Runs a line for the shell where everything lies. Libraries may lie in odd places on a node without
  /// packages.
  static ProgramResult run(const std::string& line) {
    return run_command(
        fmt::format("cd '{0}' && env -i PATH='{0}/bin':/usr/bin:/bin "
                    "LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH\" {1}",
                    root->path().string(), line));
  }
  static std::set<std::string> names(const fs::path& directory) {
    std::set<std::string> all;
    for (const auto& entry : fs::directory_iterator(directory)) all.insert(entry.path().filename());
    return all;
  }
  /// What the groups of a pattern match in a text, one a match.
  static std::set<std::string> all_of(const std::string& text, const std::string& pattern) {
    const std::regex regex(pattern);
    std::set<std::string> all;
    for (std::sregex_iterator it(text.begin(), text.end(), regex); it != std::sregex_iterator(); ++it)
      all.insert((*it)[1]);
    return all;
  }

  static inline TemporaryDirectory* root = nullptr;
};

TEST_F(Install, EveryProgramIsThereAndSaysWhatItIs) {
  EXPECT_EQ(names(*root / "bin"), names(test::bin_dir()));
  for (const std::string& name : names(*root / "bin")) {
    const ProgramResult version = run(name + " --version");
    EXPECT_EQ(version.status, 0) << name;
    const std::regex whole(name + R"( \(Normlab\) \d+\.\d+\.\d+\nrevision \S+, \S+ [\d.]+, \w+\n)"
                                  R"(kernels for portable.* \(this CPU: \w+\), .*CUDA.+\n)");
    EXPECT_TRUE(std::regex_match(version.output, whole)) << version.output;
  }
}

TEST_F(Install, ManPagesHaveEveryOption) {
  for (const std::string& name : names(*root / "bin")) {
    const fs::path file = *root / "share/man/man1" / (name + ".1.gz");
    const std::string page = std::regex_replace(run_command(fmt::format("zcat '{}'", file.string())).output,
                                                std::regex(R"(\\-)"), "-");
    EXPECT_TRUE(page.starts_with(".TH " + name)) << page.substr(0, 100);
    ProgramResult help = run(name + " --help");
    ASSERT_EQ(help.status, 0) << help.output;
    if (const auto at = help.output.find("Subcommands:\n"); at != std::string::npos) {
      for (const std::string& command : all_of(help.output.substr(at), "\n  ([a-z]+) ")) {
        EXPECT_HAS(page, "\n.SS " + command + "\n");
        help.output += run(name + " " + command + " --help").output;
      }
    }
    const std::set<std::string> options = all_of(help.output, "\n +(-h,--help|--[a-z-]+)");
    EXPECT_GE(options.size(), 3U) << help.output;
    for (const std::string& option : options) EXPECT_HAS(page, "\n.B " + option);
    if (!is_there("man")) continue;
    const std::string warnings =
        fmt::format("man --warnings -E UTF-8 -l -Tutf8 -Z '{}' >/dev/null", file.string());
    EXPECT_EQ(run_command(warnings).output, "");
  }
}

/// The report by the line that the study prints for it.
TEST_F(Install, TheMainJobAndItsReport) {
  const ProgramResult study =
      run("compare_norms --data set --limit-train 64 --epochs 1 --seeds 1 --norms none,bn --out study");
  ASSERT_EQ(study.status, 0) << study.output;
  const std::set<std::string> lines = all_of(study.output, "\n  (normlog report [^#\n]+)");
  ASSERT_EQ(lines.size(), 1U) << study.output;
  if (!is_there("gnuplot")) GTEST_SKIP() << "no gnuplot here, so no pictures";
  const ProgramResult report = run(*lines.begin());
  EXPECT_EQ(report.status, 0) << report.output;
  EXPECT_HAS(test::read_text(*root / "study/report.html"), "<svg");
}

/// Each names the program that it is for; with other data, and little of it.
TEST_F(Install, ExamplesAreAccepted) {
  EXPECT_EQ(names(documents() / "examples"), names(fs::path(test::source_dir()) / "examples"));
  for (const std::string& name : names(documents() / "examples")) {
    const std::string text = test::read_text(documents() / "examples" / name);
    const std::set<std::string> commands = all_of(text, "(\\w+ --config )" + name);
    ASSERT_EQ(commands.size(), 1U) << text;
    const ProgramResult result =
        run(*commands.begin() + "share/doc/normlab/examples/" + name +
            " --data set --limit-train 48 --val 16 --epochs 1 --seeds 1 --diagnose 0");
    EXPECT_EQ(result.status, 0) << result.output;
  }
}

/// The files of this project that the README and the other pages link lie where they say.
TEST_F(Install, PagesFindWhatTheyLink) {
  std::vector<fs::path> pages = {documents() / "README.md"};
  for (const std::string& name : names(documents() / "docs"))
    if (name.ends_with(".md")) pages.push_back(documents() / "docs" / name);
  EXPECT_GE(pages.size(), 9U);
  for (const fs::path& page : pages) {
    for (const std::string& file :
         all_of(test::read_text(page), R"((?:\]\(|src=")((?:\.\./)?[a-zA-Z][\w/.-]+\.(?:md|png|toml)))"))
      EXPECT_TRUE(fs::exists(page.parent_path() / file)) << page << ": " << file;
  }
  EXPECT_HAS(test::read_text(documents() / "copyright"), "Copyright (c)");
}

TEST_F(Install, APackageOfABuildWithCudaIsRefused) {
  if (!is_there("cpack")) GTEST_SKIP() << "no cpack here";
  const ProgramResult result =
      run_command(fmt::format("cpack -G DEB -D CPACK_NORMLAB_CUDA=ON --config '{}' -B '{}'",
                              (build() / "CPackConfig.cmake").string(), (*root / "package").string()));
  EXPECT_NE(result.status, 0);
  EXPECT_HAS(result.output, "This build has CUDA");
  EXPECT_FALSE(fs::exists(*root / "package"));
}

}  // namespace
}  // namespace normlab
