// TOML texts reach toml++ as ASCII, and come back as they were.

#include "host/record/toml_text.hpp"

#include <gtest/gtest.h>

#include "host/record/run_config.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

TEST(TomlText, CharactersBeyondAsciiStayWhatTheyAre) {
  const RunConfig config = RunConfig::parse(
      "\xEF\xBB\xBF"
      "a = \"K\u00e4se `41 \U0001F642\"  # \u00e9\n"
      "b = '''\u2028 '\u00df' '''\n"
      "c = \"\"\"x\\\n  \u00e9\"\"\"\n"
      "\"\u00fc\" = 1\n"
      "d = '\uD7FF\uE000\U00010000\U0010FFFF\u0800\u0080'\n",
      "t");
  EXPECT_EQ(config.text("a"), "K\u00e4se `41 \U0001F642");
  EXPECT_EQ(config.text("b"), "\u2028 '\u00df' ");
  EXPECT_EQ(config.text("c"), "x\u00e9");
  EXPECT_EQ(config.text("\u00fc"), "1");
  EXPECT_EQ(config.text("d"), "\uD7FF\uE000\U00010000\U0010FFFF\u0800\u0080");
  EXPECT_EQ(RunConfig::parse(config.to_toml(), "t").to_toml(), config.to_toml());
}

TEST(RunConfig, HoldsPlainValues) {
  RunConfig config;
  config.set("n", 128);
  config.set("rate", 0.5);
  config.set("whole", 2.0);
  config.set("name", "a \"b\" \\ \x7f");
  config.set("a key", true);
  config.set("", "empty");
  config.set("n", 64);
  EXPECT_EQ(config.number("n"), 64.0);
  EXPECT_EQ(config.number("rate"), 0.5);
  EXPECT_EQ(config.number("name"), std::nullopt);
  EXPECT_EQ(config.number("none"), std::nullopt);
  EXPECT_EQ(config.text("none"), "");
  EXPECT_HAS(config.to_toml(), "whole = 2.0\n");
  EXPECT_HAS(config.to_toml(), "\"a key\" = true\n\"\" = \"empty\"\n");
  EXPECT_EQ(RunConfig::parse(config.to_toml(), "t"), config);
  for (const char* text : {"a = [1]", "a = {b = 1}", "[a]", "a = 2026-11-21"})
    EXPECT_HAS(test::message_of([&] { static_cast<void>(RunConfig::parse(text, "t")); }),
               "'a' is no plain value");
}

TEST(TomlText, WhatIsWrongIsSaidWithItsPlace) {
  const auto refusal = [](std::string_view text) {
    return test::message_of([&] { static_cast<void>(RunConfig::parse(text, "t")); });
  };
  EXPECT_HAS(refusal("a = 1\n\u00e9 = 2\n"), "'t', line 2, column 1: a character beyond ASCII");
  EXPECT_HAS(refusal("a = \"\u00e9\" \u00e9\n"), "line 1, column 10: a character beyond ASCII");
  EXPECT_HAS(refusal("a = \"\u00e9\" x\n"), "line 1, column 10: ");
  EXPECT_HAS(refusal("a = 1\nb = \"\xC3\"\n"), "line 2, column 6: a byte that is not UTF-8");
  for (const char* bytes : {"\xC0\x80", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                            "\xF4\x90\x80\x80", "\xF5", "\x80", "\xE2\x82", "\xF0\x9F\x99"})
    EXPECT_HAS(refusal(fmt::format("a = '{}'", bytes)), "not UTF-8") << bytes;
  EXPECT_HAS(refusal("a = \"\\u006041\""), "line 1, column 6: write ` itself instead of \\u0060");
  EXPECT_HAS(refusal("a = \"\\\u00e9\""), "line 1, column ");
  EXPECT_HAS(refusal("[=\n"), "line 1, column 2: ");
  EXPECT_HAS(refusal("a = ["), "line 1, column ");
  EXPECT_HAS(refusal("a = 1\n\nb"), "line 3, column ");
  EXPECT_HAS(refusal("a = 1\n\nb = \n"), "line 3, column ");
}

}  // namespace
}  // namespace normlab
