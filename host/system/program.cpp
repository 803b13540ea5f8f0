#include "host/system/program.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <system_error>
#include <thread>

#include "host/system/output.hpp"
#include "host/system/system_error.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

/// Files that are opened get the lowest free number: without this, text for a closed standard output would
/// end up in a log.
void occupy_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    // Only to read, so that what is written fails and is noticed.
    static_cast<void>(::open("/dev/null", O_RDONLY));
  }
}

/// Calls `work` on a stack of at least a MiB: kernels keep blocks of a few hundred KiB there, and a smaller
/// limit (ulimit -s, some containers) would end the program without a word. Threads have stacks of that
/// limit, too.
int with_enough_stack(const std::function<int()>& work) {
#ifdef __GLIBC__
  constexpr std::size_t enough = std::size_t{1} << 20, usual = std::size_t{8} << 20;
  rlimit limit{};
  pthread_attr_t attributes;
  if (::getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < enough &&
      ::pthread_attr_init(&attributes) == 0) {
    ::pthread_attr_setstacksize(&attributes, usual);
    ::pthread_setattr_default_np(&attributes);
    ::pthread_attr_destroy(&attributes);
    try {
      int status = 1;
      std::thread([&] { status = work(); }).join();
      return status;
    } catch (const std::system_error&) {  // no thread can be started: the small stack must do
    }
  }
#endif
  return work();
}

int guarded(std::string_view program, const std::function<int()>& body) {
  try {
    return body();
  } catch (const UsageError& error) {
    say_error("{}: {}\n", program, error.what());
    return 2;
  } catch (const std::exception& error) {
    say_error("{}: {}\n", program, reason_of(error));
  }
  return 1;
}

}  // namespace

int run_guarded(std::string_view program, const std::function<int()>& body) {
  occupy_closed_streams();
  std::signal(SIGXFSZ, SIG_IGN);
  int status = with_enough_stack([&] { return guarded(program, body); });
  if (const std::string failure = output_failure(); !failure.empty()) {
    say_error("{}: cannot write to standard output: {}\n", program, failure);
    if (status == 0) status = 1;
  }
  return status;
}

}  // namespace normlab

#ifdef __linux__

namespace {

// Runs before everything else, so without the C library and without the sanitizers'.
#define NORMLAB_BEFORE_ALL __attribute__((no_sanitize("address", "thread", "undefined")))

NORMLAB_BEFORE_ALL bool is_named(const char* entry, const char* name) {
  while (*name != '\0' && *entry == *name) ++entry, ++name;
  return *name == '\0' && *entry == '=';
}

NORMLAB_BEFORE_ALL void forget_thread_binding(int, char**, char** environment) {
  char** kept = environment;
  for (char** entry = environment; *entry != nullptr; ++entry) {
    if (is_named(*entry, "OMP_PROC_BIND") || is_named(*entry, "OMP_PLACES") ||
        is_named(*entry, "GOMP_CPU_AFFINITY") || is_named(*entry, "KMP_AFFINITY")) {
      continue;
    }
    *kept++ = *entry;
  }
  *kept = nullptr;
}

/// The dynamic linker calls these before the constructors of libraries, of which libgomp's reads the
/// variables.
__attribute__((section(".preinit_array"),
               used)) void (*const before_libraries)(int, char**, char**) = forget_thread_binding;

}  // namespace

#endif
