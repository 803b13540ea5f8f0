// What people see on a terminal: nothing wider or higher than it, the important first, and old lines
// replaced.

#include <algorithm>

#include "experiments/progress/screen.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "host/record/text_layout.hpp"
#include "tests/support/terminal.hpp"

namespace normlab {
namespace {

ScreenState some_runs(int runs) {
  ScreenState state;
  state.finished = 3;
  state.total = 15;
  state.done = 0.316;
  state.rate = 5812.4;
  state.seconds_left = 92;
  for (int i = 0; i < runs; ++i) {
    ScreenRun run;
    run.name = fmt::format("gn4-seed{}", i);
    run.epoch = 5 + i;
    run.epochs = 40;
    run.done = 0.25 * (i % 4);
    run.loss = 1.23456;
    run.accuracy = 0.6125;
    run.rate = 2856;
    run.threads = i == 0 ? 2 : 1;
    state.runs.push_back(run);
  }
  return state;
}

TEST(Screen, OneLineForTheStudyAndOneForEachRun) {
  ScreenState state = some_runs(2);
  state.runs[1].loss = state.runs[1].accuracy = -1;
  const std::vector<std::string> lines = draw_screen(state, 120, 24);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0],
            "3 of 15 runs              ███████░░░░░░░░░░░░░░░░░   31 %  1:32 left    5,812 images/s");
  EXPECT_EQ(lines[1],
            "gn4-seed0     epoch 5/40  ░░░░░░░░░░░░░░░░░░░░░░░░    0 %  loss  1.235  test 61.25 %    2,856 "
            "images/s  2 threads");
  EXPECT_EQ(lines[2],
            "gn4-seed1     epoch 6/40  ██████░░░░░░░░░░░░░░░░░░   25 %                               2,856 "
            "images/s");
}

TEST(Screen, FitsAnySize) {
  for (const int runs : {0, 1, 3, 50}) {
    ScreenState state = some_runs(runs);
    if (runs > 2) {
      state.runs[1].loss = 1e30;
      state.runs[2].name = "ln-elementwise-seed4000000000";
    }
    for (int columns = 1; columns <= 140; ++columns) {
      for (const int rows : {1, 2, 3, 10, 60}) {
        const std::vector<std::string> lines = draw_screen(state, columns, rows);
        ASSERT_LE(static_cast<int>(lines.size()), std::max(1, rows - 1));
        ASSERT_GE(lines.size(), 1U);
        for (const std::string& line : lines) {
          ASSERT_LE(text_width(line), std::max(1, columns - 1)) << line;
        }
      }
    }
  }
}

TEST(Screen, LeavesOutTheLeastImportantAndNeverHalfANumber) {
  const std::vector<std::string> lines = draw_screen(some_runs(1), 44, 24);
  EXPECT_EQ(lines[0], "3 of 15 runs   31 %  1:32 left");
  EXPECT_EQ(lines[1], "gn4-seed0     5/40    0 %  loss  1.235");
}

TEST(Screen, CountsTheRunsThatFindNoRow) {
  const std::vector<std::string> lines = draw_screen(some_runs(12), 100, 8);
  ASSERT_EQ(lines.size(), 7U);
  EXPECT_EQ(lines[5].substr(0, 9), "gn4-seed4");
  EXPECT_EQ(lines[6], "and 7 more");
  EXPECT_EQ(draw_screen(some_runs(6), 100, 8).back().substr(0, 9), "gn4-seed5");
}

TEST(Screen, LinesAreReplacedAndWhatEndedStays) {
  test::Terminal terminal(40, 6);
  LiveLines live;
  terminal.feed("$ compare_norms\n");
  terminal.feed(live.replace("", {"study", "a long line of run 1", "run 2"}, 40));
  terminal.feed("^C");  // as a terminal shows the key
  terminal.feed(live.replace("", {"study", "run 1", "run 2"}, 40));
  EXPECT_EQ(terminal.lines(), (std::vector<std::string>{"$ compare_norms", "study", "run 1", "run 2"}));
  terminal.feed(live.replace("run 1 done\n", {"study", "run 2"}, 40));
  EXPECT_EQ(terminal.lines(), (std::vector<std::string>{"$ compare_norms", "run 1 done", "study", "run 2"}));
  for (int i = 3; i < 9; ++i) {  // more than the terminal has rows
    terminal.feed(live.replace(fmt::format("run {} done\n", i), {"study", "run 2", "run 10"}, 40));
  }
  terminal.feed(live.replace("", {}, 40));
  EXPECT_EQ(terminal.lines(),
            (std::vector<std::string>{"$ compare_norms", "run 1 done", "run 3 done", "run 4 done",
                                      "run 5 done", "run 6 done", "run 7 done", "run 8 done"}));
  EXPECT_EQ(terminal.wrapped(), 0);
}

TEST(Screen, LinesThatANarrowerTerminalBrokeAreReplacedWhole) {
  LiveLines live;
  static_cast<void>(live.replace("", {std::string(70, 'x'), "run 1", ""}, 80));
  // 70 characters take two rows of 40.
  EXPECT_EQ(live.replace("", {"study"}, 40).substr(0, 5), "\r\033[4A");
  EXPECT_EQ(live.replace("", {"study"}, 40).substr(0, 5), "\r\033[1A");
}

TEST(Screen, Clock) {
  EXPECT_EQ(clock_text(0.2), "0:00");
  EXPECT_EQ(clock_text(64.6), "1:05");
  EXPECT_EQ(clock_text(7384), "2:03:04");
}

}  // namespace
}  // namespace normlab
