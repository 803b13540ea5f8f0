#pragma once
// What people see on a terminal while runs go on: drawing is a function from a state to lines of text.

#include <string>
#include <string_view>
#include <vector>

namespace normlab {

/// A run that goes on.
struct ScreenRun {
  std::string name;
  int epoch = 1, epochs = 1;
  double done = 0;       ///< of the whole run, 0 to 1
  double loss = -1;      ///< training loss of this epoch so far; negative: none yet
  double accuracy = -1;  ///< on the test set, after the last epoch; negative: none yet
  double rate = 0;       ///< images a second
  int threads = 1;
};

struct ScreenState {
  int finished = 0, total = 0;  ///< runs
  double done = 0;              ///< of the whole study, 0 to 1
  double rate = 0;              ///< images a second, all runs together
  double seconds_left = 0;
  std::vector<ScreenRun> runs;
};

/// One line for the study and one for each run, at most rows - 1 lines, each narrower than `columns`: what
/// does not fit is left out, the least important first.
[[nodiscard]] std::vector<std::string> draw_screen(const ScreenState& state, int columns, int rows);

/// "1:05" or "2:03:04".
[[nodiscard]] std::string clock_text(double seconds);

/// Lines at the end of a terminal's text that are replaced in place. The cursor rests below them, so whatever
/// ends the program leaves a clean terminal.
class LiveLines {
 public:
  /// The characters that replace the lines of the last call by `above`, which stays and scrolls up (complete
  /// lines, or empty), and by `lines` below it.
  [[nodiscard]] std::string replace(std::string_view above, const std::vector<std::string>& lines,
                                    int columns);

 private:
  std::vector<int> widths_;  ///< of the lines that stand there
};

}  // namespace normlab
