#include "host/data/files.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;

std::string reason() {
  return std::generic_category().message(errno);
}

}  // namespace

std::vector<std::uint8_t> read_file(const fs::path& path, std::uint64_t limit) {
  std::error_code failed;
  const std::uintmax_t size = fs::file_size(path, failed);
  if (failed) throw Error("cannot read {}: {}", path.string(), failed.message());
  if (size > limit) {
    throw Error("{} has {} bytes; at most {} were expected: is it the right file?", path.string(), size,
                limit);
  }
  const File file(std::fopen(path.c_str(), "rb"));
  if (!file) throw Error("cannot read {}: {}", path.string(), reason());
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), file.get());
  if (got != bytes.size()) {
    throw Error("cannot read {}: stopped at byte {} of {} ({})", path.string(), got, bytes.size(),
                std::ferror(file.get()) != 0 ? reason() : "the file became shorter");
  }
  return bytes;
}

void write_file(const fs::path& path, std::span<const std::uint8_t> bytes, bool replace) {
  const fs::path temporary = path.string() + fmt::format(".{}.tmp", ::getpid());
  const auto fail = [&](const std::string& why) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw Error("cannot write {}: {}", path.string(), why);
  };
  File file(std::fopen(temporary.c_str(), "wbx"));
  if (!file)
    throw Error("cannot write {}: {}; check the path, or choose another place", path.string(), reason());
  // Of no bytes there may be no address, which fwrite must not be given.
  const std::size_t put = bytes.empty() ? 0 : std::fwrite(bytes.data(), 1, bytes.size(), file.get());
  const bool written =
      put == bytes.size() && std::fflush(file.get()) == 0 && ::fsync(::fileno(file.get())) == 0;
  if (!written) fail(reason());
  if (std::fclose(file.release()) != 0) fail(reason());
  if (replace) {
    if (std::rename(temporary.c_str(), path.c_str()) != 0) fail(reason());
    return;
  }
  // link() refuses an existing name, which rename() would replace.
  if (::link(temporary.c_str(), path.c_str()) != 0) fail(reason());
  ::unlink(temporary.c_str());
}

void make_directory(const fs::path& path) {
  std::error_code failed;
  fs::create_directories(path, failed);
  if (failed) throw Error("cannot make the directory {}: {}", path.string(), failed.message());
  if (!fs::is_directory(path, failed)) throw Error("{} is not a directory", path.string());
}

}  // namespace normlab
