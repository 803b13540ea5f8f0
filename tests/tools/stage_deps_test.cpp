// tools/stage-deps: what it packs is enough to configure with, and found before what this machine has.

#include <gtest/gtest.h>

#include <regex>
#include <sstream>

#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::run_command;

const std::string kSource = test::source_dir();
const std::string kTool = "'" + kSource + "/tools/stage-deps' ";

TEST(StageDeps, WrongUsageIsOneClearError) {
  const test::TemporaryDirectory directory;
  const std::string there = (directory / "there.tar.xz").string();
  test::write_text(there, "x");
  for (const auto& [arguments, status, says] :
       {std::tuple{std::string(), 2, "FILE.tar.xz"},
        {"deps.zip", 2, "FILE.tar.xz"},
        {"--fast a.tar.xz", 2, "--fast"},
        {"a.tar.xz b.tar.xz", 2, "b.tar.xz"},
        {there, 1, "there already"},
        {(directory / "a.tar.xz").string() + " --data /no/such", 1, "/no/such"}}) {
    const auto result = run_command(kTool + arguments);
    EXPECT_EQ(result.status, status) << arguments << ": " << result.output;
    EXPECT_HAS(result.output, says);
  }
  EXPECT_EQ(test::read_text(there), "x");
}

/// Configures with nothing but the archive's environment; every package must come from it.
TEST(StageDeps, WhatIsPackedIsWhatCMakeFinds) {
  for (const char* tool : {"dpkg-query", "xz", "objdump", "cmake", "ninja"})
    if (run_command(std::string("command -v ") + tool).status != 0) GTEST_SKIP() << "no " << tool << " here";
  if (run_command("dpkg-query -W libdnnl-dev").status != 0)
    GTEST_SKIP() << "no Debian package of oneDNN here";
  const test::TemporaryDirectory directory;
  const std::string at = directory.path().string();
  std::filesystem::create_directory(directory / "some");
  test::write_text(directory / "some" / "batch.bin", "data");
  const auto packed = run_command("XZ_OPT=-0 " + kTool + at + "/deps.tar.xz --data " + at + "/some");
  ASSERT_EQ(packed.status, 0) << packed.output;
  EXPECT_HAS(packed.output, "packages and data");
  ASSERT_EQ(run_command("mkdir " + at + "/deps && tar -C " + at + "/deps -xJf " + at + "/deps.tar.xz").status,
            0);
  EXPECT_EQ(test::read_text(directory / "deps" / "data" / "batch.bin"), "data");
  EXPECT_HAS(test::read_text(directory / "deps" / "packages"), "libdnnl-dev ");
  const auto configured = run_command("bash -c '. " + at + "/deps/environment && cmake -S " + kSource +
                                      " -B " + at + "/build -G Ninja -DNORMLAB_CUDA=OFF'");
  ASSERT_EQ(configured.status, 0) << configured.output;
  std::istringstream cache(test::read_text(directory / "build" / "CMakeCache.txt"));
  const std::regex found(
      R"(^(fmt_DIR|Eigen3_DIR|dnnl_DIR|CLI11_DIR|tomlplusplus_DIR|nlohmann_json_DIR|GTest_DIR|)"
      R"((?:PNG|CURL|ZLIB)_LIBRARY_RELEASE|(?:CURL|LibArchive|ZLIB|OPENSSL|PNG_PNG)_INCLUDE_DIR|)"
      R"(LibArchive_LIBRARY|OPENSSL_CRYPTO_LIBRARY):\w+=(.*)$)");
  int packages = 0;
  std::smatch match;
  for (std::string line; std::getline(cache, line);) {
    if (!std::regex_match(line, match, found)) continue;
    ++packages;
    EXPECT_TRUE(match[2].str().starts_with(at + "/deps/usr/")) << line;
  }
  EXPECT_GE(packages, 15);
}

}  // namespace
}  // namespace normlab
