#pragma once
// The progress of a download, for people.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace normlab {

/// Reports bytes, rate and time left: rewriting one line on a terminal, else a plain line every ten seconds.
class TransferProgress {
 public:
  /// `out` may be null (silent). `total` in bytes.
  TransferProgress(std::FILE* out, std::uint64_t total);

  /// Call often; `held` is the bytes there are now. Prints at most five times a second.
  void update(std::uint64_t held);

  /// Prints `text` as a line of its own.
  void note(const char* text);

  /// Prints the last state and ends the line.
  void finish(std::uint64_t held);

 private:
  using Clock = std::chrono::steady_clock;
  void write(const std::string& text);
  void print(std::uint64_t held, const char* end);

  std::FILE* out_;
  std::uint64_t total_;
  bool terminal_;
  Clock::time_point begin_;
  Clock::time_point printed_;
  std::uint64_t held_at_begin_ = 0;
  bool begun_ = false;
};

}  // namespace normlab
