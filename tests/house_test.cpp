// The rules of the house: arrows point down only, one operation has one name everywhere, and vendor headers
// stay in their rooms.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = NORMLAB_SOURCE_DIR;

struct Include {
  std::string file, header;
};

std::vector<Include> includes_of(const std::string& room, bool recursive = true) {
  static const std::regex pattern(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::vector<Include> includes;
  for (auto it = fs::recursive_directory_iterator(kRoot / room); it != fs::recursive_directory_iterator();
       ++it) {
    if (!recursive && it.depth() > 0) continue;
    const std::string extension = it->path().extension();
    if (extension != ".cpp" && extension != ".hpp" && extension != ".cu" && extension != ".cuh") continue;
    std::ifstream file(it->path());
    std::smatch match;
    for (std::string line; std::getline(file, line);) {
      if (std::regex_search(line, match, pattern))
        includes.push_back({fs::relative(it->path(), kRoot), match[1]});
    }
  }
  EXPECT_GT(includes.size(), 5U) << room;
  return includes;
}

void expect_none(const std::string& room, const std::string& forbidden,
                 const std::set<std::string>& except = {}) {
  const std::regex pattern("^(" + forbidden + ")");
  for (const Include& include : includes_of(room)) {
    if (except.contains(include.file)) continue;
    EXPECT_FALSE(std::regex_search(include.header, pattern))
        << include.file << " includes " << include.header;
  }
}

const std::string kVendors = "dnnl|oneapi|Eigen|cuda|cudnn|cublas|nvtx";

TEST(House, ArrowsPointDownOnly) {
  expect_none("layers", "host/|cuda/|experiments/|tools/|tests/|" + kVendors);
  expect_none("host", "cuda/|experiments/|tools/|tests/");
  expect_none("cuda", "host/|experiments/|tools/|tests/|dnnl|oneapi|Eigen");
  expect_none("experiments", "host/host_backend|cuda/|tools/|tests/|" + kVendors,
              {"experiments/common/backends.cpp"});
  expect_none("tools", "host/host_backend|cuda/|tests/|" + kVendors);
}

TEST(House, RecordsAndDataKnowNoDevice) {
  for (const char* room : {"host/data", "host/record", "host/report"})
    expect_none(room, "host/[a-z_]+\\.hpp|" + kVendors);
}

TEST(House, ReportsAreMadeOfRecordsAndData) {
  expect_none("host/record", "host/(data|report)/");
  expect_none("host/data", "host/(record|report)/");
}

TEST(House, OneDnnHasOneHome) {
  expect_none("host", "dnnl", {"host/onednn.hpp", "host/onednn.cpp"});
}

TEST(House, AnOperationHasOneNameEverywhere) {
  for (const char* name : {"conv2d", "group_norm", "batch_norm", "relu", "max_pool", "global_avg_pool",
                           "circular_pad", "add", "linear", "softmax_cross_entropy", "optimizer"}) {
    EXPECT_TRUE(fs::exists(kRoot / "layers" / fmt::format("{}.hpp", name))) << name;
    EXPECT_TRUE(fs::exists(kRoot / "host" / fmt::format("{}.cpp", name))) << name;
    EXPECT_TRUE(fs::exists(kRoot / "cuda" / fmt::format("{}.cu", name))) << name;
    EXPECT_TRUE(fs::exists(kRoot / "tests" / fmt::format("{}_test.cpp", name))) << name;
  }
}

/// What differs between nvcc and the emulator is found by the include path; the one #if about CUDA is in
/// experiments/common/backends.cpp.
TEST(House, NoSeamsInCuda) {
  for (const auto& entry : fs::directory_iterator(kRoot / "cuda")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      EXPECT_FALSE(line.starts_with("#if") || line.find("<<<") != std::string::npos)
          << entry.path() << ": " << line;
    }
  }
}

TEST(House, FilesCanBeReadInOneGo) {
  for (const char* room : {"layers", "host", "cuda", "experiments", "tools", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      const std::string extension = entry.path().extension();
      if (extension != ".cpp" && extension != ".hpp" && extension != ".cu") continue;
      std::ifstream file(entry.path());
      const auto lines = std::count(std::istreambuf_iterator<char>(file), {}, '\n');
      EXPECT_LE(lines, 450) << entry.path();
    }
  }
}

}  // namespace
