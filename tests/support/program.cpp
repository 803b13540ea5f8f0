#include "tests/support/program.hpp"

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace normlab::test {

ProgramResult run_command(const std::string& line) {
  ProgramResult result;
  FILE* pipe = popen((line + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer{};
  while (const std::size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), count);
  }
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

ProgramResult run_program(const std::string& command) {
  return run_command("cd \"" + test::bin_dir() + "\" && ./" + command);
}

ProgramResult run_on_terminal(const std::string& command, int columns, int rows,
                              const std::string& interrupt_at) {
  ProgramResult result;
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  int terminal = -1;
  const std::string line = "cd \"" + test::bin_dir() + "\" && exec " + command;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child < 0) return result;
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    _exit(127);
  }
  bool interrupted = interrupt_at.empty();
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = read(terminal, buffer.data(), buffer.size())) > 0;) {
    result.output.append(buffer.data(), static_cast<std::size_t>(count));
    if (interrupted || result.output.find(interrupt_at) == std::string::npos) continue;
    interrupted = write(terminal, "\003", 1) == 1;
  }
  int status = 0;
  waitpid(child, &status, 0);
  close(terminal);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace normlab::test
