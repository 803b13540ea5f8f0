#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

namespace normlab {

/// What people see while runs go on: on a terminal one line that is redrawn, elsewhere one line for each
/// epoch. Any thread may call.
class Progress {
 public:
  /// work: images to train on, over all runs.
  Progress(int runs, double work);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// A run has trained on `images` more; `state` is short, such as "bn-seed0 2/4 61.2%".
  void advance(int run, double images, const std::string& state);
  /// A run ended an epoch.
  void epoch(int run, const std::string& line);
  /// A run ended.
  void finish(int run, const std::string& line);

 private:
  void draw();
  void print(const std::string& line);
  [[nodiscard]] double seconds() const;

  const bool terminal_;
  const int runs_;
  const double work_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::vector<std::string> states_;  ///< of the runs going on; empty: not started or ended
  int finished_ = 0;
  double done_ = 0, last_drawn_ = -1;
};

/// "1:05" or "2:03:04".
[[nodiscard]] std::string clock_text(double seconds);

}  // namespace normlab
