// The rules of the house: arrows point down only, one operation has one name everywhere, and vendor headers
// stay in their rooms.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/places.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = normlab::test::source_dir();

struct Include {
  std::string file, header;
};

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

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
  expect_none("experiments", "host/cpu/host_backend|cuda/|tools/|tests/|" + kVendors,
              {"experiments/options/backends.cpp"});
  expect_none("tools", "host/cpu/host_backend|cuda/|tests/|" + kVendors);
}

TEST(House, RecordsAndDataKnowNoDevice) {
  for (const char* room : {"host/data", "host/record", "host/report"})
    expect_none(room, "host/cpu/|" + kVendors);
}

TEST(House, ReportsAreMadeOfRecordsAndData) {
  expect_none("host/record", "host/(data|report)/");
  expect_none("host/data", "host/(record|report)/");
}

TEST(House, ExperimentsAreMadeOfRooms) {
  const std::vector<std::string> rooms{"options", "measure|progress", "training",
                                       "study"};  // the lowest first
  for (std::size_t i = 0; i + 1 < rooms.size(); ++i) {
    std::string above;
    for (std::size_t j = i + 1; j < rooms.size(); ++j) above += (above.empty() ? "" : "|") + rooms[j];
    const std::size_t bar = rooms[i].find('|');
    for (const std::string& room : {rooms[i].substr(0, bar), rooms[i].substr(bar + 1)})
      expect_none("experiments/" + room, "experiments/(" + above + ")/");
  }
}

/// Of two files of a room that need each other one is really two.
TEST(House, NoCircleInARoom) {
  for (const char* room :
       {"host/data", "host/record", "host/report", "host/system", "experiments/options",
        "experiments/measure", "experiments/progress", "experiments/training", "experiments/study"}) {
    std::map<std::string, std::set<std::string>> below;  // by file without its extension
    for (const Include& include : includes_of(room)) {
      const std::string from = fs::path(include.file).replace_extension(),
                        to = fs::path(include.header).replace_extension();
      if (from != to && to.starts_with(room)) below[from].insert(to);
    }
    std::set<std::string> done;
    std::vector<std::string> way;
    const std::function<void(const std::string&)> walk = [&](const std::string& file) {
      const auto seen = std::find(way.begin(), way.end(), file);
      EXPECT_EQ(seen, way.end()) << fmt::format("{} and {} include each other",
                                                fmt::join(seen, way.end(), ", "), file);
      if (seen != way.end() || !done.insert(file).second) return;
      way.push_back(file);
      for (const std::string& next : below[file]) walk(next);
      way.pop_back();
    };
    for (const auto& [file, others] : std::map(below)) walk(file);
  }
}

TEST(House, OneDnnHasOneHome) {
  expect_none("host", "dnnl", {"host/cpu/onednn.hpp", "host/cpu/onednn.cpp"});
}

/// Headers that take as long to compile as a whole program have a home each.
TEST(House, HeavyHeadersHaveAHome) {
  for (const char* room : {"host", "experiments", "tools"}) {
    expect_none(room, "CLI/", {"experiments/options/command_line.cpp"});
    expect_none(room, "nlohmann/", {"host/record/safetensors.cpp"});
    expect_none(room, "regex", {"host/report/tensorboard.cpp"});
  }
}

TEST(House, AnOperationHasOneNameEverywhere) {
  const std::regex is_a_layer(R"(class \w+( final)? : public (Coupled)?Layer\b)");
  std::set<std::string> names{"optimizer"};
  for (const auto& entry : fs::directory_iterator(kRoot / "layers"))
    if (entry.path().extension() == ".hpp" && entry.path().stem() != "layer" &&
        std::regex_search(text_of(entry.path()), is_a_layer))
      names.insert(entry.path().stem());
  EXPECT_GE(names.size(), 11U);
  for (const std::string& name : names) {
    EXPECT_TRUE(fs::exists(kRoot / "host/cpu" / fmt::format("{}.cpp", name))) << name;
    EXPECT_TRUE(fs::exists(kRoot / "cuda" / fmt::format("{}.cu", name))) << name;
    EXPECT_TRUE(fs::exists(kRoot / "tests/layers" / fmt::format("{}_test.cpp", name))) << name;
  }
}

/// What differs between nvcc and the emulator is found by the include path; the one #if about CUDA is in
/// experiments/options/backends.cpp.
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

/// What a file must include to say this. Headers that CMakeLists.txt precompiles would hide it from the
/// compiler.
const std::map<std::string, std::string> kUses = {
    {"algorithm",
     R"(std::(ranges::)?(stable_)?(sort|min|max|minmax|clamp|find(_if)?|count(_if)?|(any|all|none)_of|copy(_n)?|fill(_n)?|transform|reverse|unique|(max|min|minmax)_element|equal|(lower|upper)_bound|binary_search|nth_element|partial_sort|shuffle|remove_if|generate|mismatch|search|rotate|is_sorted|for_each)\s*[(<])"},
    {"array", R"(std::array\b)"},
    {"cmath",
     R"(std::(sqrt|abs|exp|log|pow|isfinite|isnan|isinf|floor|ceil|l?l?round|fabs|cos|sin|log2|log10|tanh|fma|ldexp|frexp|hypot|nextafter|signbit|copysign|fmod|trunc|nearbyint|erf|cbrt|expm1|log1p)\s*\()"},
    {"cstdint", R"(std::u?int(8|16|32|64)_t\b)"},
    {"filesystem", R"(std::filesystem\b)"},
    {"fmt/format.h", R"(\bfmt::\w)"},
    {"functional", R"(std::(function|c?ref|hash|greater|less|plus)\b)"},
    {"gtest/gtest.h", R"(\b(TEST(_[FP])?|(EXPECT|ASSERT)_\w+)\s*\()"},
    {"map", R"(std::(multi)?map\b)"},
    {"memory", R"(std::((unique|shared|weak)_ptr|make_(unique|shared)|addressof)\b)"},
    {"optional", R"(std::(optional|nullopt)\b)"},
    {"set", R"(std::(multi)?set\b)"},
    {"span", R"(std::span\b)"},
    {"string", R"(std::(to_)?string\b)"},
    {"string_view", R"(std::string_view\b)"},
    {"utility", R"(std::(pair|move|swap|exchange|forward|make_pair|in_range|cmp_less|as_const)\b)"},
    {"vector", R"(std::vector\b)"},
};

/// The headers in <> that a file includes, itself or by the project's headers.
const std::set<std::string>& system_headers(const fs::path& path) {
  static const std::regex pattern(R"!(#\s*include\s*(?:<([^>]+)>|"([^"]+)"))!");
  static std::map<fs::path, std::set<std::string>> known;
  const auto [place, is_new] = known.try_emplace(path);
  if (!is_new) return place->second;
  const std::string text = text_of(path);
  std::set<std::string> all;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern); it != std::sregex_iterator(); ++it) {
    if ((*it)[1].matched) all.insert((*it)[1]);
    if ((*it)[2].matched) all.merge(std::set(system_headers(kRoot / (*it)[2].str())));
  }
  return place->second = std::move(all);
}

TEST(House, FilesIncludeWhatTheyUse) {
  const std::regex comment("//[^\n]*"), literal(R"!("(\\.|[^"\\\n])*")!");
  std::map<std::string, std::regex> uses;
  for (const auto& [header, use] : kUses) uses.emplace(header, use);
  int files = 0;
  for (const char* room : {"layers", "host", "cuda", "experiments", "tools", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      const fs::path& path = entry.path();
      if (path.extension() != ".cpp" && path.extension() != ".hpp") continue;
      ++files;
      const std::string text =
          std::regex_replace(std::regex_replace(text_of(path), comment, ""), literal, "\"\"");
      for (const auto& [header, use] : uses) {
        if (system_headers(path).contains(header)) continue;
        std::smatch found;
        EXPECT_FALSE(std::regex_search(text, found, use))
            << fs::relative(path, kRoot) << " uses " << found.str() << " without <" << header << ">";
      }
    }
  }
  EXPECT_GT(files, 300);
}

TEST(House, FilesThatCommentsNameAreThere) {
  const std::vector<std::string> rooms{"layers", "host", "cuda", "experiments", "tools", "tests"};
  std::set<std::string> files;  // by every end of their path
  for (const std::string& room : rooms) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      fs::path end;
      const fs::path whole = fs::relative(entry.path(), kRoot);
      for (fs::path rest = whole; !rest.empty(); rest = rest.parent_path())
        files.insert(end = end.empty() ? rest.filename() : rest.filename() / end);
    }
  }
  const std::regex comment("//([^\n]*)"), file(R"((^|[\s(])([a-z]\w*(/\w+)*\.(hpp|cpp|cu))\b)");
  int named = 0;
  for (const std::string& room : rooms) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      const std::string extension = entry.path().extension();
      if (extension != ".cpp" && extension != ".hpp" && extension != ".cu") continue;
      const std::string text = text_of(entry.path());
      for (std::sregex_iterator it(text.begin(), text.end(), comment); it != std::sregex_iterator(); ++it) {
        const std::string words = (*it)[1];
        for (std::sregex_iterator name(words.begin(), words.end(), file); name != std::sregex_iterator();
             ++name) {
          ++named;
          EXPECT_TRUE(files.contains((*name)[2])) << entry.path() << " names " << (*name)[2];
        }
      }
    }
  }
  EXPECT_GT(named, 20);
}

TEST(House, EveryPrecompiledHeaderIsLookedFor) {
  const std::string text = text_of(kRoot / "CMakeLists.txt");
  std::smatch list;
  ASSERT_TRUE(std::regex_search(text, list, std::regex(R"(set\(common_headers([^)]*)\))")));
  const std::string headers = list[1];
  const std::regex header("<([^>]+)>");
  int count = 0;
  for (std::sregex_iterator it(headers.begin(), headers.end(), header); it != std::sregex_iterator(); ++it) {
    ++count;
    EXPECT_TRUE(kUses.contains((*it)[1])) << (*it)[1];
  }
  EXPECT_GE(count, 10);
}

/// layers/kernels/all.hpp is the one page: it names every primitive of every family.
TEST(House, OnePageListsEveryPrimitive) {
  const std::string page = text_of(kRoot / "layers/kernels/all.hpp");
  const std::regex family(R"(class (\w+Kernels) : public Kernels)"),
      primitive(R"(virtual[^;{]*?(\w+)\([^;{]*= 0;)");
  int primitives = 0;
  for (const auto& entry : fs::directory_iterator(kRoot / "layers/kernels")) {
    const std::string text = text_of(entry.path());
    std::smatch found;
    if (!std::regex_search(text, found, family)) continue;
    const std::regex entry_of("\\b" + found[1].str() + R"([,>]+;? *(//[^\n]*\n *)+)");
    std::smatch on_page;
    ASSERT_TRUE(std::regex_search(page, on_page, entry_of)) << found[1] << " is not in all.hpp";
    for (std::sregex_iterator it(text.begin(), text.end(), primitive); it != std::sregex_iterator(); ++it) {
      ++primitives;
      EXPECT_TRUE(std::regex_search(on_page.str(), std::regex("\\b" + (*it)[1].str() + "\\b")))
          << found[1] << "::" << (*it)[1] << " is not in all.hpp";
    }
  }
  EXPECT_GT(primitives, 40);
}

/// `a | head` and `a | grep -q` leave before `a` has said all, which then ends with SIGPIPE: under pipefail
/// the line fails, now and then.
TEST(House, NoPipeOfAScriptIsLeftEarly) {
  const std::regex leaves(R"(\|\s*(head\b|grep (-\S+ )*-[a-zA-Z]*q|sed (-\S+ )*['"]?[0-9]*q))");
  int scripts = 0;
  for (const char* room : {"tools", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      if (!entry.is_regular_file() || entry.path().has_extension()) continue;
      const std::string text = text_of(entry.path());
      if (!text.starts_with("#!/usr/bin/env bash\n")) continue;
      ++scripts;
      EXPECT_NE(text.find("set -euo pipefail\n"), std::string::npos) << entry.path();
      std::smatch match;
      EXPECT_FALSE(std::regex_search(text, match, leaves)) << entry.path() << ": " << match.str();
    }
  }
  EXPECT_GE(scripts, 9);
}

}  // namespace
