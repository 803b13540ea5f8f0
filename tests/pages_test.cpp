// README.md and docs/: what they link and name is there.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = test::source_dir();

std::set<std::string> all_of(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), regex); it != std::sregex_iterator(); ++it)
    found.insert((*it)[1]);
  return found;
}

std::vector<fs::path> pages() {
  std::vector<fs::path> pages = {kRoot / "README.md"};
  for (const auto& entry : fs::directory_iterator(kRoot / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  EXPECT_GE(pages.size(), 9U);
  return pages;
}

/// The name that a heading has in links: in small letters, words joined by hyphens, without punctuation.
std::string anchor(const std::string& heading) {
  std::string name;
  for (const char c : heading) {
    if (c == ' ')
      name += '-';
    else if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_')
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return name;
}

TEST(Pages, TheReadmeFitsInTheHead) {
  const std::string text = test::read_text(kRoot / "README.md");
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 200);
}

TEST(Pages, PagesLinkWhatIsThere) {
  const std::regex link(R"!((?:\]\(|src=")([^)"#:]*)(?:#([^)"]*))?[)"])!");
  std::size_t links = 0;
  for (const fs::path& page : pages()) {
    const std::string text = test::read_text(page);
    for (std::sregex_iterator it(text.begin(), text.end(), link); it != std::sregex_iterator();
         ++it, ++links) {
      const std::string file = (*it)[1], section = (*it)[2];
      const fs::path target = file.empty() ? page : page.parent_path() / file;
      EXPECT_TRUE(fs::exists(target)) << page << ": " << file;
      if (section.empty()) continue;
      std::set<std::string> anchors;
      for (const std::string& heading : all_of(test::read_text(target), "\n#+ ([^\n]*)"))
        anchors.insert(anchor(heading));
      EXPECT_TRUE(anchors.contains(section)) << page << ": " << file << '#' << section;
    }
  }
  EXPECT_GE(links, 30U);
}

/// Programs, tests, scripts and files that the pages name.
TEST(Pages, PagesNameWhatIsThere) {
  std::set<std::string> programs, tests;
  for (const char* room : {"experiments", "tools"})
    for (const auto& entry : fs::directory_iterator(kRoot / room))
      if (entry.path().extension() == ".cpp") programs.insert(entry.path().stem());
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / "tests"))
    if (entry.path().extension() == ".cpp") tests.insert(entry.path().stem());
  std::size_t names = 0;
  for (const fs::path& page : pages()) {
    const std::string text = test::read_text(page);
    const auto expect = [&](const std::string& pattern, const auto& is_there) {
      for (const std::string& name : all_of(text, pattern)) {
        EXPECT_TRUE(is_there(name)) << page << ": " << name;
        ++names;
      }
    };
    expect(R"(build/release/bin/([\w-]+))", [&](const std::string& name) { return programs.contains(name); });
    expect(R"(`(?:build/release/tests/)?(\w+_test)`)",
           [&](const std::string& name) { return tests.contains(name); });
    expect(R"(`((?:cuda|docs|examples|experiments|host|layers|tests|tools)/[\w/.-]+))",
           [](const std::string& name) { return fs::exists(kRoot / name); });
  }
  EXPECT_GE(names, 100U);
}

/// What docs/reliability.md says was run once, at length, is what `tools/test --long` runs.
TEST(Pages, LongTestsAreThoseOfThePage) {
  const std::regex variable(R"(NORMLAB_[A-Z_]+=[0-9]+|long_run [0-9]+)");
  std::set<std::string> named[2];
  for (int i = 0; i < 2; ++i) {
    const std::string text = test::read_text(kRoot / (i == 0 ? "docs/reliability.md" : "tests/long"));
    for (std::sregex_iterator it(text.begin(), text.end(), variable); it != std::sregex_iterator(); ++it)
      named[i].insert(it->str());
  }
  EXPECT_GE(named[0].size(), 6U);
  EXPECT_EQ(named[0], named[1]);
}

}  // namespace
}  // namespace normlab
