#include "host/system/paths.hpp"

#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

#include "host/system/system_error.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

namespace fs = std::filesystem;

using Look = int (*)(const char*, struct stat*);

/// None where nothing has the name.
std::optional<struct stat> look_at(const fs::path& path, Look look) {
  struct stat found {};
  if (look(path.c_str(), &found) == 0) return found;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw_system_error(errno, "look at", path, Access::read);
}

}  // namespace

bool is_there(const fs::path& path) {
  return look_at(path, ::stat).has_value();
}

bool is_taken(const fs::path& path) {
  return look_at(path, ::lstat).has_value();
}

bool is_a_directory(const fs::path& path) {
  const auto found = look_at(path, ::stat);
  return found && S_ISDIR(found->st_mode);
}

bool is_a_link(const fs::path& path) {
  const auto found = look_at(path, ::lstat);
  return found && S_ISLNK(found->st_mode);
}

bool is_a_file(const fs::path& path) {
  const auto found = look_at(path, ::stat);
  return found && S_ISREG(found->st_mode);
}

std::uint64_t bytes_in(const fs::path& path) {
  const auto found = look_at(path, ::stat);
  if (!found) throw_system_error(ENOENT, "read", path, Access::read);
  return static_cast<std::uint64_t>(found->st_size);
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code error;
  fs::directory_iterator at(directory, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) entries.push_back(at->path());
  if (error) throw_system_error(error.value(), "list directory", directory, Access::read);
  std::sort(entries.begin(), entries.end());
  return entries;
}

void make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw_system_error(error.value(), "create directory", path);
  if (!is_a_directory(path)) throw_system_error(ENOTDIR, "create directory", path);
}

FileIdentity identity_of(const fs::path& path) {
  const auto found = look_at(path, ::stat);
  if (!found) throw_system_error(ENOENT, "look at", path, Access::read);
  return {found->st_dev, found->st_ino};
}

fs::path absolute_path(const fs::path& path) {
  const bool climbs = std::find(path.begin(), path.end(), "..") != path.end();
  if (climbs && is_there(path)) return canonical_path(path);
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  if (error) throw_system_error(error.value(), "find the working directory for", path, Access::read);
  return climbs ? whole : whole.lexically_normal();
}

fs::path canonical_path(const fs::path& path) {
  std::error_code error;
  const fs::path whole = fs::canonical(path, error);
  if (error) throw_system_error(error.value(), "look at", path, Access::read);
  return whole;
}

bool is_fresh(const fs::path& directory, const std::string& but) {
  const std::vector<fs::path> entries = entries_of(directory);
  return std::all_of(entries.begin(), entries.end(), [&](const fs::path& entry) {
    return entry.filename() == "lost+found" || entry.filename() == but;
  });
}

ScratchDirectory::ScratchDirectory() {
  const char* const variable = ::getenv("TMPDIR");
  const std::string where = variable == nullptr || *variable == '\0' ? "/tmp" : variable;
  std::string name = where + "/normlab-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw Error("cannot write to '{}', where temporary files go: {}; set TMPDIR to a directory where you may",
                where, std::generic_category().message(errno));
  }
  path_ = name;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace normlab
