#include "host/system/system_error.hpp"

#include <unistd.h>

#include <cerrno>
#include <new>
#include <string>
#include <system_error>

namespace normlab {

namespace {

namespace fs = std::filesystem;

/// The outermost directory above `path` that may not be entered; empty if all of them may.
fs::path locked_directory(const fs::path& path) {
  fs::path locked;
  for (fs::path directory = path.parent_path(); !directory.empty(); directory = directory.parent_path()) {
    if (::access(directory.c_str(), X_OK) != 0 && errno == EACCES) locked = directory;
    if (directory == directory.root_path()) break;
  }
  return locked;
}

std::string for_want_of_permission(const fs::path& path, Access access) {
  if (const fs::path locked = locked_directory(path); !locked.empty())
    return fmt::format("; you may not enter '{}': have its owner allow it (chmod a+x), or work as its owner",
                       locked.string());
  return access == Access::read
             ? "; you may not read it: have its owner allow it (chmod a+rX), or work as its owner"
             : "; choose a place you may write to, or change its permissions";
}

/// What the user can do about it.
std::string remedy(int error, const fs::path& path, Access access) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space (or choose another disk with --out) and run again";
    case EFBIG:
      return "; a file may not grow larger than that here: raise the limit (ulimit -f) and run again";
    case EACCES:
    case EPERM:
      return for_want_of_permission(path, access);
    case EROFS:
      return "; choose a place you may write to";
    case ENOENT:
    case ENOTDIR:
      return "; check the path";
    case ENAMETOOLONG:
      return "; choose a shorter name";
    case ELOOP:
      return "; its links lead in a circle";
    case EMFILE:
    case ENFILE:
      return "; raise the limit of open files (ulimit -n)";
    case EIO:
      return "; the disk may be failing: see dmesg";
    default:
      return "; run again, and look into the system's log if it happens again";
  }
}

}  // namespace

bool SystemError::hides_something() const {
  return code != ENOENT && code != ENOTDIR;
}

void throw_system_error(int error, std::string_view doing, const fs::path& path, Access access) {
  throw SystemError(error, fmt::format("cannot {} '{}': {}{}", doing, path.string(),
                                       std::generic_category().message(error), remedy(error, path, access)));
}

std::string reason_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return "there is not enough memory; free some, raise the limit (ulimit -v), or ask for less: fewer "
           "--jobs, a "
           "smaller --batch-size";
  const auto* system = dynamic_cast<const std::system_error*>(&error);
  if (system != nullptr && system->code() == std::errc::resource_unavailable_try_again)
    return "cannot start a thread: there are too many; raise the limit (ulimit -u), or ask for less: fewer "
           "--jobs, "
           "fewer --threads";
  return error.what();
}

}  // namespace normlab
