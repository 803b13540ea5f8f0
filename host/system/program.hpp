#pragma once
// What every program does before and after its own work.

#include <functional>
#include <string_view>

namespace normlab {

/// The whole of a main but for reading its command line. `body` returns the exit status; what it throws
/// becomes one line on stderr, and status 2 for a UsageError, 1 for anything else. So does standard output
/// that could not be written.
///
/// Before that: standard streams that were closed are opened again, to nothing, so that no file of ours
/// gets their numbers; SIGXFSZ (a limit of a file's size) is ignored, so that the write fails as on a full
/// disk; where the limit of the stack is small, `body` and all threads get stacks of the usual size.
///
/// Wherever this is linked, OpenMP's variables that bind threads to processors (OMP_PROC_BIND, OMP_PLACES,
/// ...) are taken out of the environment before any library can read them: they are meant for teams of
/// OpenMP's, of which there are none here, and would put every thread that calls oneDNN on one processor.
int run_guarded(std::string_view program, const std::function<int()>& body);

}  // namespace normlab
