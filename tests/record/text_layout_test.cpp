// What is printed fits into 80 columns.

#include "host/record/text_layout.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

int widest_line(const std::string& text) {
  int widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, text_width(line));
  return widest;
}

TEST(Wrapped, BreaksBetweenWordsOnly) {
  EXPECT_EQ(wrapped("a few words", 2), "a few words\n");
  EXPECT_EQ(wrapped("", 2), "\n");
  EXPECT_EQ(wrapped("  head   words", 4), "  head   words\n");
  const std::string line(80, 'x');
  EXPECT_EQ(wrapped(line, 2), line + "\n");
  EXPECT_EQ(wrapped("a " + line + "y b", 2), "a\n  " + line + "y\n  b\n");
  std::string long_text = "time:";
  for (int i = 0; i < 60; ++i) long_text += " ±" + std::to_string(i);
  EXPECT_LE(widest_line(wrapped(long_text, 2)), 80);
  EXPECT_GT(widest_line(wrapped(long_text, 2)), 75);
}

TextColumn column(const std::string& head, int width, int leave_out = 0, bool left = false) {
  return {head, left, {std::string(static_cast<std::size_t>(width), 'x'), "-"}, leave_out};
}

TEST(TextTable, LinesUp) {
  EXPECT_EQ(text_table({{"norm", true, {"bn", "none"}}, {"acc", false, {"9 ± 1", "10"}}}).text,
            "norm    acc\n───────────\nbn    9 ± 1\nnone     10\n");
}

TEST(TextTable, LeavesOutWhatMattersLeast) {
  const TextTable fits = text_table({column("a", 20, 0, true), column("b", 28), column("c", 28, 1)});
  EXPECT_TRUE(fits.left_out.empty());
  EXPECT_EQ(widest_line(fits.text), 80);
  const TextTable table =
      text_table({column("a", 20, 0, true), column("b", 25), column("c", 20, 1), column("d", 20, 2)});
  EXPECT_EQ(table.left_out, std::vector<std::string>{"d"});
  EXPECT_LE(widest_line(table.text), 80);
  EXPECT_EQ(text_table({column("a", 60), column("b", 30, 2), column("c", 30, 1)}).left_out,
            (std::vector<std::string>{"b", "c"}));
}

TEST(TextTable, ALongNameStandsAboveItsFigures) {
  const std::string name(50, 'n');
  const TextTable table = text_table({{"norm", true, {name, "bn"}}, column("b", 20), column("c", 30)});
  EXPECT_HAS(table.text, "\n" + name + "\n");
  EXPECT_LE(widest_line(table.text), 80);
}

}  // namespace
}  // namespace normlab
