// Loaded before the C library (LD_PRELOAD): makes one system call fail, as disks and kernels do.
//
//   NORMLAB_FAULT=call:n:kind   the n-th call (from 1) of open, write, fsync, fdatasync, ftruncate, rename or
//                               unlink that concerns a file below NORMLAB_FAULT_DIR; kind is
//                               ENOSPC  and every later write fails, too: the disk is full
//                               EIO, EINTR
//                               short   half of a write is done
//                               slow    this and every later call take 20 ms
//                               power   the machine loses its power: what was not synced is gone
//   NORMLAB_FAULT_MARK=path     is made when the fault happens, so that a test knows when n was too large.

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
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

std::string path_of(int descriptor) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path);
  return std::string(path, length < 0 ? 0 : static_cast<std::size_t>(length));
}

bool concerns(int descriptor) {
  return concerns(path_of(descriptor).c_str());
}

/// What a disk would still hold if the power went now.
class Disk {
 public:
  /// A file was opened for writing; `is_new`: its name is not on the disk yet.
  void opened(const std::string& path, bool is_new) {
    const std::lock_guard lock(mutex_);
    struct stat status {};
    if (!files_.contains(path))
      files_[path] = {stat(path.c_str(), &status) == 0 ? status.st_size : 0, is_new};
  }
  void synced(int descriptor) {
    const std::lock_guard lock(mutex_);
    struct stat status {};
    if (fstat(descriptor, &status) != 0) return;
    const std::string path = path_of(descriptor);
    if (S_ISDIR(status.st_mode)) {
      for (auto& [name, file] : files_) {
        if (name.substr(0, name.rfind('/')) == path) file.is_nameless = false;
      }
    } else if (const auto file = files_.find(path); file != files_.end()) {
      file->second.size = status.st_size;
    }
  }
  /// Appended bytes that were not synced are gone, and names that the directory was not synced for.
  [[noreturn]] void lose_power() {
    const std::lock_guard lock(mutex_);
    for (const auto& [path, file] : files_) {
      if (file.is_nameless) unlink(path.c_str());
      if (!file.is_nameless) static_cast<void>(!truncate(path.c_str(), file.size));  // renamed ones are whole
    }
    kill(getpid(), SIGKILL);
    abort();
  }

 private:
  struct OpenFile {
    off_t size = 0;
    bool is_nameless = false;
  };
  std::mutex mutex_;
  std::map<std::string, OpenFile> files_;
};

Disk& disk() {
  static Disk instance;
  return instance;
}

/// Counts the call; whether it is the one that fails. errno is then set.
bool fails(const char* call) {
  static long count = 0;
  static bool full = false;
  const Fault& f = fault();
  const bool is_write = strcmp(call, "write") == 0;
  static bool slow = false;
  if (slow && f.call == call) usleep(20'000);
  bool now = full && is_write;
  if (f.call == call && ++count == f.number) {
    now = true;
    full = is_write && f.kind == "ENOSPC";
    if (!f.mark.empty()) {
      const int mark = next<int (*)(const char*, int, ...)>("open")(f.mark.c_str(), O_CREAT | O_WRONLY, 0666);
      if (mark >= 0) close(mark);
    }
    if (f.kind == "power") disk().lose_power();
    if (f.kind == "slow") {
      slow = true;
      now = false;
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
  const bool is_ours = concerns(path);
  if (is_ours && fails("open")) return -1;
  const bool is_new = is_ours && (flags & O_CREAT) != 0 && access(path, F_OK) != 0;
  const int descriptor = next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
  if (is_ours && descriptor >= 0 && (flags & O_ACCMODE) != O_RDONLY) disk().opened(path, is_new);
  return descriptor;
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
  const int status = next<int (*)(int)>("fsync")(descriptor);
  if (status == 0 && concerns(descriptor)) disk().synced(descriptor);
  return status;
}

int fdatasync(int descriptor) {
  if (concerns(descriptor) && fails("fdatasync")) return -1;
  const int status = next<int (*)(int)>("fdatasync")(descriptor);
  if (status == 0 && concerns(descriptor)) disk().synced(descriptor);
  return status;
}

int ftruncate(int descriptor, off_t size) {
  if (concerns(descriptor) && fails("ftruncate")) return -1;
  return next<int (*)(int, off_t)>("ftruncate")(descriptor, size);
}

int rename(const char* from, const char* to) {
  if (concerns(to) && fails("rename")) return -1;
  return next<int (*)(const char*, const char*)>("rename")(from, to);
}

int unlink(const char* path) {
  if (concerns(path) && fails("unlink")) return -1;
  return next<int (*)(const char*)>("unlink")(path);
}

}  // extern "C"
