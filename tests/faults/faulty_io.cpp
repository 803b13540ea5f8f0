// Loaded before the C library (LD_PRELOAD): makes one system call fail, as disks and kernels do.
//
//   NORMLAB_FAULT=call:n:kind   the n-th call (from 1) of open, write, fsync, fdatasync, ftruncate or rename
//   that
//                               concerns a file below NORMLAB_FAULT_DIR; kind is ENOSPC, EIO, EINTR, or short
//                               (half of a write). From ENOSPC on every later write fails, too: the disk is
//                               full.
//   NORMLAB_FAULT_MARK=path     is made when the fault happens, so that a test knows when n was too large.

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

struct Fault {
  std::string call, kind, directory, mark;
  long number = 0;

  Fault() {
    const auto variable = [](const char* name) {
      const char* value = getenv(name);
      return std::string(value == nullptr ? "" : value);
    };
    const std::string text = variable("NORMLAB_FAULT");
    const std::size_t first = text.find(':'), second = text.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) return;
    call = text.substr(0, first);
    number = std::strtol(text.c_str() + first + 1, nullptr, 10);
    kind = text.substr(second + 1);
    directory = variable("NORMLAB_FAULT_DIR");
    mark = variable("NORMLAB_FAULT_MARK");
  }
};

const Fault& fault() {
  static const Fault instance;
  return instance;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool concerns(const char* path) {
  return !fault().directory.empty() &&
         strncmp(path, fault().directory.c_str(), fault().directory.size()) == 0;
}

bool concerns(int descriptor) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  return concerns(path);
}

/// Counts the call; whether it is the one that fails. errno is then set.
bool fails(const char* call) {
  static long count = 0;
  static bool full = false;
  const Fault& f = fault();
  const bool is_write = strcmp(call, "write") == 0;
  bool now = full && is_write;
  if (f.call == call && ++count == f.number) {
    now = true;
    full = is_write && f.kind == "ENOSPC";
    if (!f.mark.empty()) {
      const int mark = next<int (*)(const char*, int, ...)>("open")(f.mark.c_str(), O_CREAT | O_WRONLY, 0666);
      if (mark >= 0) close(mark);
    }
  }
  if (now) errno = f.kind == "EIO" ? EIO : f.kind == "EINTR" ? EINTR : ENOSPC;
  return now;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (concerns(path) && fails("open")) return -1;
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}

ssize_t write(int descriptor, const void* data, size_t size) {
  const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (concerns(descriptor) && fails("write")) {
    if (fault().kind != "short") return -1;
    return real(descriptor, data, (size + 1) / 2);
  }
  return real(descriptor, data, size);
}

int fsync(int descriptor) {
  if (concerns(descriptor) && fails("fsync")) return -1;
  return next<int (*)(int)>("fsync")(descriptor);
}

int fdatasync(int descriptor) {
  if (concerns(descriptor) && fails("fdatasync")) return -1;
  return next<int (*)(int)>("fdatasync")(descriptor);
}

int ftruncate(int descriptor, off_t size) {
  if (concerns(descriptor) && fails("ftruncate")) return -1;
  return next<int (*)(int, off_t)>("ftruncate")(descriptor, size);
}

int rename(const char* from, const char* to) {
  if (concerns(to) && fails("rename")) return -1;
  return next<int (*)(const char*, const char*)>("rename")(from, to);
}

}  // extern "C"
