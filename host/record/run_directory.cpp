#include "host/record/run_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "host/record/file.hpp"
#include "host/system/paths.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

constexpr std::string_view kAside = ".unfinished-";
constexpr const char* kLock = ".lock";

/// Makes the directory; false if something of this name exists.
bool make_directory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0777) == 0) return true;
  if (errno == EEXIST) return false;
  throw_system_error(errno, "create directory", path);
}

/// Makes a directory and those above it, and brings their names to the disk; false if it exists.
bool make_with_parents(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  std::error_code unknown;  // making the directory tells what is wrong
  if (!parent.empty() && !std::filesystem::exists(parent, unknown)) make_with_parents(parent);
  if (!make_directory(path)) return false;
  // A place may allow entries without showing them; the name then comes to the disk when the kernel likes.
  if (::access(parent.empty() ? "." : parent.c_str(), R_OK) == 0) sync_directory(parent);
  return true;
}

std::string time_stamp() {
  const std::time_t now = ::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts)};
}

/// Makes `link` point to `target`, in one step for everyone who looks.
void replace_link(const std::filesystem::path& link, const std::string& target) {
  if (is_taken(link) && !is_a_link(link))
    throw Error("'{}' should be a link to the newest study, but is something else; move it away",
                link.string());
  const std::filesystem::path temporary = link.string() + "." + std::to_string(::getpid()) + ".tmp";
  ::unlink(temporary.c_str());
  if (::symlink(target.c_str(), temporary.c_str()) != 0) throw_system_error(errno, "create link", link);
  if (::rename(temporary.c_str(), link.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    throw_system_error(error, "replace link", link);
  }
}

}  // namespace

bool is_set_aside(std::string_view name) {
  const std::size_t at = name.rfind(kAside);
  if (at == std::string_view::npos || at + kAside.size() == name.size()) return false;
  return name.find_first_not_of("0123456789", at + kAside.size()) == std::string_view::npos;
}

void RunDirectory::write_config(const RunConfig& config) const {
  atomic_write_file(this->config(), config.to_toml());
}

StudyDirectory StudyDirectory::create(std::string_view experiment,
                                      const std::optional<std::filesystem::path>& out,
                                      const std::filesystem::path& root) {
  if (out) {
    if (out->empty()) throw UsageError("--out needs the name of a directory");
    // Without a trailing slash, which would make the parent of "a/b/" be "a/b".
    const std::filesystem::path path = out->has_filename() ? *out : out->parent_path();
    if (make_with_parents(path)) return StudyDirectory(path);
    const auto refuse = [&](const char* what) {
      throw Error(
          "--out '{}' {}, and nothing is ever overwritten; choose another directory, or move that away",
          path.string(), what);
    };
    if (!is_a_directory(path)) refuse("exists already and is no directory");
    if (!is_fresh(path, kLock)) refuse("exists already and is not empty");
    StudyDirectory study(path);
    if (!is_fresh(path, kLock))
      refuse("exists already and holds another study");  // which began in this moment
    return study;
  }
  const std::string stem = std::string(experiment) + "-" + time_stamp();
  std::string name = stem;
  // Another study may have begun within this second.
  for (int number = 2; !make_with_parents(root / name); ++number) name = stem + "-" + std::to_string(number);
  replace_link(root / "latest", name);
  return StudyDirectory(root / name);
}

StudyDirectory::StudyDirectory(std::filesystem::path path) : path_(std::move(path)) {
  if (!is_a_directory(path_)) throw_system_error(is_there(path_) ? ENOTDIR : ENOENT, "open directory", path_);
  // A file open for writing can be locked on network file systems, too; a directory cannot.
  const std::filesystem::path file = path_ / kLock;
  lock_ = File(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666), file);
  if (lock_.descriptor() < 0) {
    if (const int error = errno; error != EACCES || !is_there(file))
      throw_system_error(error, "create", file);
    throw Error(
        "'{}' belongs to somebody else, so that the study cannot be locked; remove it, or work as its owner",
        file.string());
  }
  is_locked_ = ::flock(lock_.descriptor(), LOCK_EX | LOCK_NB) == 0;
  if (!is_locked_ && errno == EWOULDBLOCK)
    throw Error("'{}': another process is at work there; wait for it, or stop it", path_.string());
}

StudyDirectory StudyDirectory::open(const std::filesystem::path& path) {
  return StudyDirectory(path.has_filename() ? path : path.parent_path());
}

void StudyDirectory::set_aside(std::string_view run) const {
  for (int number = 1;; ++number) {
    const std::filesystem::path aside = path_ / fmt::format("{}{}{}", run, kAside, number);
    if (is_taken(aside)) continue;
    if (::rename((path_ / run).c_str(), aside.c_str()) != 0) throw_system_error(errno, "rename", path_ / run);
    return;
  }
}

RunDirectory StudyDirectory::open_run(std::string_view run) const {
  RunDirectory directory(path_ / run);
  if (directory.checkpoints().newest_first().empty()) return create_run(run);
  remove_temporaries(directory.path());  // nobody else is at work in this study
  return directory;
}

RunDirectory StudyDirectory::create_run(std::string_view run) const {
  RunDirectory directory(path_ / run);
  if (!make_directory(directory.path()))
    throw Error("run directory '{}' exists already, and nothing is ever overwritten",
                directory.path().string());
  sync_directory(path_);
  return directory;
}

}  // namespace normlab
