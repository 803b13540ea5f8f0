#include "host/data/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <string>

namespace normlab {
namespace {

constexpr const char* erase_line = "\r\033[K";

std::string clock_text(double seconds) {
  const auto whole = std::lround(seconds);
  return whole < 60 ? fmt::format("{} s", whole) : fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

}  // namespace

TransferProgress::TransferProgress(std::FILE* out, std::uint64_t total)
    : out_(out), total_(total), terminal_(out != nullptr && ::isatty(::fileno(out)) != 0) {}

void TransferProgress::update(std::uint64_t held) {
  if (out_ == nullptr) return;
  const auto now = Clock::now();
  if (!begun_ || held < held_at_begin_) {  // the first call, or the file was begun anew
    begun_ = true;
    begin_ = printed_ = now;
    held_at_begin_ = held;
  }
  const auto pause = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10'000);
  if (now - printed_ < pause) return;
  printed_ = now;
  print(held, terminal_ ? "" : "\n");
}

void TransferProgress::note(const char* text) {
  if (out_ == nullptr) return;
  write(fmt::format("{}{}\n", terminal_ ? erase_line : "", text));
}

void TransferProgress::finish(std::uint64_t held) {
  if (out_ != nullptr && begun_) print(held, "\n");
}

void TransferProgress::print(std::uint64_t held, const char* end) {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  const double rate = seconds > 0 ? static_cast<double>(held - held_at_begin_) / seconds : 0;
  const double left = held < total_ ? static_cast<double>(total_ - held) : 0;
  const std::string wait = left == 0 ? "done" : rate > 0 ? clock_text(left / rate) + " left" : "waiting";
  write(fmt::format("{}{:.1f} of {:.1f} MB, {:.2f} MB/s, {}{}", terminal_ ? erase_line : "",
                    static_cast<double>(held) / 1e6, static_cast<double>(total_) / 1e6, rate / 1e6, wait,
                    end));
}

/// Nobody may be there any more to read it.
void TransferProgress::write(const std::string& text) {
  static_cast<void>(std::fputs(text.c_str(), out_));
  static_cast<void>(std::fflush(out_));
}

}  // namespace normlab
