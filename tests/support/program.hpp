#pragma once
// Runs one of the project's programs as a user would.

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

namespace normlab::testing {

struct ProgramResult {
  int status = -1;     ///< exit status; 128 + signal when killed
  std::string output;  ///< stdout and stderr
};

/// `command` is the program's name and arguments, for the shell.
inline ProgramResult run_program(const std::string& command) {
  const std::string line = "cd \"" + std::string(NORMLAB_BIN_DIR) + "\" && ./" + command + " 2>&1";
  ProgramResult result;
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer{};
  while (const std::size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), count);
  }
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace normlab::testing
