#pragma once
// Runs one of the project's programs as a user would.

#include <string>

#include "tests/support/places.hpp"

namespace normlab::test {

struct ProgramResult {
  int status = -1;     ///< exit status; 128 + signal when killed
  std::string output;  ///< stdout and stderr
};

/// `line` is for the shell.
ProgramResult run_command(const std::string& line);

/// `command` is the program's name and arguments, for the shell.
ProgramResult run_program(const std::string& command);

/// The same on a terminal of a given size; presses Ctrl-C when `interrupt_at` was seen.
ProgramResult run_on_terminal(const std::string& command, int columns, int rows,
                              const std::string& interrupt_at = "");

}  // namespace normlab::test
