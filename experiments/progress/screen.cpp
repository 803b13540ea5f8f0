#include "experiments/progress/screen.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/record/text_layout.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

constexpr int kGap = 2;
constexpr int kMaxBar = 24, kMinBar = 6;
constexpr int kRoomForWords = 90;

std::string repeated(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

std::string bar(double done, int width) {
  const int full = std::clamp(static_cast<int>(std::floor(done * width)), 0, width);
  return repeated("█", full) + repeated("░", width - full);
}

std::string percent(double done) {
  return fmt::format("{:3.0f} %", std::floor(100 * std::clamp(done, 0.0, 1.0)));
}

/// "12,345 images/s".
std::string rate_text(double rate) {
  std::string digits = fmt::format("{:.0f}", std::max(0.0, rate));
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(as_size(at), 1, ',');
  }
  return fmt::format("{:>7} images/s", digits);
}

std::string loss_text(double loss) {
  if (loss < 0) return fmt::format("{:11}", "");
  return loss < 1000 ? fmt::format("loss {:6.3f}", loss) : fmt::format("loss {:6.0e}", loss);
}

std::string accuracy_text(double accuracy) {
  return accuracy < 0 ? fmt::format("{:12}", "") : fmt::format("test {:5.2f} %", 100 * accuracy);
}

std::string threads_text(int threads) {
  return threads > 1 ? fmt::format("{} threads", threads) : "";
}

/// The fields that fit, in order; the first one is cut if it must be.
std::string line_of(const std::vector<std::string>& fields, int width) {
  std::string line = fields.front().substr(0, as_size(width));
  for (std::size_t i = 1; i < fields.size(); ++i) {
    if (fields[i].empty()) continue;
    if (text_width(line) + kGap + text_width(fields[i]) > width) break;
    line += std::string(kGap, ' ') + fields[i];
  }
  return line.substr(0, line.find_last_not_of(' ') + 1);
}

}  // namespace

std::string clock_text(double seconds) {
  const int s = static_cast<int>(seconds + 0.5);
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::vector<std::string> draw_screen(const ScreenState& state, int columns, int rows) {
  const int width = std::max(1, columns - 1);  // a full line would make some terminals wrap
  const std::string head = fmt::format("{} of {} runs", state.finished, state.total);
  const char* const epoch = width >= kRoomForWords ? "epoch " : "";
  std::size_t name_width = head.size();
  int most_threads = 1, epoch_width = 0;
  for (const ScreenRun& run : state.runs) {
    name_width = std::max(name_width, run.name.size());
    most_threads = std::max(most_threads, run.threads);
    epoch_width = std::max(epoch_width,
                           static_cast<int>(fmt::formatted_size("{}{}/{}", epoch, run.epochs, run.epochs)));
  }
  const auto run_fields = [&](const ScreenRun& run) {
    return std::vector<std::string>{
        fmt::format("{:<{}} {:>{}}", run.name, name_width,
                    fmt::format("{}{}/{}", epoch, run.epoch, run.epochs), epoch_width),
        percent(run.done),
        loss_text(run.loss),
        accuracy_text(run.accuracy),
        rate_text(run.rate),
        threads_text(run.threads)};
  };
  // Bars take what the other fields of a run leave.
  int fixed = 0;
  ScreenRun widest;
  widest.threads = most_threads;
  for (const std::string& field : run_fields(widest)) {
    if (!field.empty()) fixed += text_width(field) + kGap;
  }
  const int bar_width = std::min(kMaxBar, width - fixed);
  const auto line = [&](std::vector<std::string> fields, double done) {
    if (bar_width >= kMinBar) fields.insert(fields.begin() + 1, bar(done, bar_width));
    return line_of(fields, width);
  };

  const std::string first = fmt::format("{:<{}}", head, static_cast<int>(name_width) + 1 + epoch_width);
  std::vector<std::string> lines{line({bar_width >= kMinBar ? first : head, percent(state.done),
                                       clock_text(state.seconds_left) + " left", rate_text(state.rate)},
                                      state.done)};
  const auto room = as_size(std::max(1, rows - 1));
  for (std::size_t i = 0; i < state.runs.size() && lines.size() < room; ++i) {
    const std::size_t rest = state.runs.size() - i;
    if (lines.size() + 1 == room && rest > 1) {
      lines.push_back(line_of({fmt::format("and {} more", rest)}, width));
    } else {
      lines.push_back(line(run_fields(state.runs[i]), state.runs[i].done));
    }
  }
  return lines;
}

std::string LiveLines::replace(std::string_view above, const std::vector<std::string>& lines, int columns) {
  // A terminal that became narrower has broken the old lines into pieces.
  int height = 0;
  for (const int width : widths_) height += std::max(1, (width + columns - 1) / columns);
  std::string out = height > 0 ? fmt::format("\r\033[{}A", height) : "\r";
  if (!above.empty()) out += "\033[J";
  out += above;
  widths_.clear();
  for (const std::string& line : lines) {
    out += line + "\033[K\n";
    widths_.push_back(text_width(line));
  }
  return out + "\033[J";
}

}  // namespace normlab
