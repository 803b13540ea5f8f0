#pragma once
// Programs as they run on users' machines: without root's privileges, under limits, with signals.

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab::test {

inline std::string program_path(const std::string& name) {
  return fmt::format("{}/{}", test::bin_dir(), name);
}
/// The shell's word for a program of this project.
inline std::string program(const std::string& name) {
  return fmt::format("'{}/{}'", test::bin_dir(), name);
}

/// What a line for the shell needs in front to run without the privileges of root, whom no permission stops;
/// "no" where that cannot be done.
inline std::string without_privileges() {
  if (::geteuid() != 0) return "";
  const std::string drop = "setpriv --bounding-set=-all --inh-caps=-all ";
  return run_command(drop + "true").status == 0 ? drop : "no";
}

/// A program that goes on for long, until it is signalled.
class Background {
 public:
  /// `line` is for the shell, which becomes the program; what it says goes to `said`.
  Background(const std::string& line, std::filesystem::path said) : said_(std::move(said)) {
    child_ = ::fork();
    if (child_ != 0) return;
    for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM}) ::signal(signal, SIG_DFL);
    const std::string whole = fmt::format("exec {} >'{}' 2>&1", line, said_.string());
    ::execl("/bin/sh", "sh", "-c", whole.c_str(), nullptr);
    ::_exit(127);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  [[nodiscard]] pid_t pid() const { return child_; }
  [[nodiscard]] std::string said() const { return test::read_text(said_); }
  /// Whether the text was said within five minutes.
  [[nodiscard]] bool says(const std::string& text) const {
    for (int i = 0; i < 30000 && said().find(text) == std::string::npos; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return said().find(text) != std::string::npos;
  }
  void signal(int number) const { ::kill(child_, number); }
  /// Waits for the end; exit status, or 128 + signal when killed.
  int end() {
    int status = 0;
    ::waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  std::filesystem::path said_;
  pid_t child_ = -1;
};

}  // namespace normlab::test
