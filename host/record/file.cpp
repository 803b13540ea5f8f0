#include "host/record/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "host/system/paths.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

/// What a system call returns that no signal interrupted.
template <typename Call>
int uninterrupted(Call call) {
  int result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File File::create(const std::filesystem::path& path) {
  const int descriptor =
      uninterrupted([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  if (descriptor < 0 && errno == EEXIST)
    throw Error("'{}' already exists, and nothing is ever overwritten; choose another name or move it away",
                path.string());
  if (descriptor < 0) throw_system_error(errno, "create", path);
  return {descriptor, path};
}

File File::open(const std::filesystem::path& path) {
  return open(path, O_RDONLY);
}

File File::open_to_change(const std::filesystem::path& path) {
  return open(path, O_RDWR);
}

File File::open(const std::filesystem::path& path, int mode) {
  // Not blocking, so that a named pipe is refused below rather than waited for.
  const int descriptor = uninterrupted([&] { return ::open(path.c_str(), mode | O_CLOEXEC | O_NONBLOCK); });
  if (descriptor < 0)
    throw_system_error(errno, "open", path, mode == O_RDONLY ? Access::read : Access::write);
  File file(descriptor, path);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) throw_system_error(errno, "examine", path, Access::read);
  if (!S_ISREG(status.st_mode))
    throw Error("cannot read '{}': it is {}, not a file", path.string(),
                S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe");
  return file;
}

void File::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ::ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_system_error(errno, "write", path_);
    bytes = bytes.subspan(as_size(written));
  }
}

std::size_t File::read(std::span<std::byte> bytes) {
  std::size_t total = 0;
  while (total < bytes.size()) {
    const ::ssize_t got = ::read(descriptor_, bytes.data() + total, bytes.size() - total);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_system_error(errno, "read", path_, Access::read);
    if (got == 0) break;
    total += as_size(got);
  }
  return total;
}

std::uint64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) throw_system_error(errno, "examine", path_, Access::read);
  return static_cast<std::uint64_t>(status.st_size);
}

void File::sync() {
  if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0)
    throw_system_error(errno, "bring to the disk", path_);
}

void File::sync_data() {
  if (uninterrupted([&] { return ::fdatasync(descriptor_); }) != 0)
    throw_system_error(errno, "bring to the disk", path_);
}

void File::cut(std::uint64_t size) {
  const auto end = static_cast<::off_t>(size);
  if (uninterrupted([&] { return ::ftruncate(descriptor_, end); }) != 0)
    throw_system_error(errno, "cut", path_);
  if (::lseek(descriptor_, end, SEEK_SET) != end) throw_system_error(errno, "write", path_);
}

void File::close() {
  if (descriptor_ < 0) return;
  // Not repeated after EINTR: on Linux the descriptor is gone then.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR)
    throw_system_error(errno, "close", path_);
}

void sync_directory(const std::filesystem::path& directory) {
  const std::filesystem::path shown = directory.empty() ? "." : directory;
  const int descriptor =
      uninterrupted([&] { return ::open(shown.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) throw_system_error(errno, "open directory", shown, Access::read);
  File(descriptor, shown).sync();
}

void remove_temporaries(const std::filesystem::path& directory) {
  for (const std::filesystem::path& entry : entries_of(directory)) {
    const std::string name = entry.filename().string();
    if (name.starts_with('.') && name.ends_with(".tmp")) ::unlink(entry.c_str());
  }
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  temporary_ = path_.parent_path() / fmt::format(".{}.{}.tmp", path_.filename().string(), ::getpid());
  // One left behind by a killed process of the same number is nobody's.
  const int descriptor = uninterrupted(
      [&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666); });
  if (descriptor < 0) throw_system_error(errno, "create", path_);
  file_ = File(descriptor, path_);
}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  constexpr std::size_t enough = std::size_t{1} << 18;
  if (bytes.size() >= enough) {
    write_out(bytes);
    return;
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (buffer_.size() >= enough) write_out({});
}

/// Writes what is buffered, then these bytes.
void AtomicFile::write_out(std::span<const std::byte> bytes) {
  file_.write(buffer_);
  buffer_.clear();
  file_.write(bytes);
}

void AtomicFile::sync() {
  if (synced_) return;
  write_out({});
  file_.sync();
  file_.close();
  synced_ = true;
}

void AtomicFile::commit() {
  sync();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw_system_error(errno, "replace", path_);
  committed_ = true;
  sync_directory(path_.parent_path());
}

void atomic_write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void atomic_write_file(const std::filesystem::path& path, std::string_view text) {
  atomic_write_file(path, bytes_of(text));
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit) {
  File file = File::open(path);
  const std::uint64_t size = file.size();
  if (size > limit)
    throw Error("'{}' has {} bytes, more than the {} that such a file may have", path.string(), size, limit);
  std::string text(as_size(size), '\0');
  text.resize(file.read(std::as_writable_bytes(std::span(text.data(), text.size()))));
  return text;
}

}  // namespace normlab
