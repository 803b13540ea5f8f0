#include "host/data/files.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "host/system/paths.hpp"
#include "host/system/system_error.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;

}  // namespace

std::vector<std::uint8_t> read_file(const fs::path& path, std::uint64_t limit) {
  const std::uint64_t size = bytes_in(path);
  if (size > limit) {
    throw Error("{} has {} bytes; at most {} were expected: is it the right file?", path.string(), size,
                limit);
  }
  const File file(std::fopen(path.c_str(), "rb"));
  if (!file) throw_system_error(errno, "read", path, Access::read);
  std::vector<std::uint8_t> bytes(as_size(size));
  const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), file.get());
  if (got == bytes.size()) return bytes;
  if (std::ferror(file.get()) != 0) throw_system_error(errno, "read", path, Access::read);
  throw Error("cannot read {}: it became shorter; only {} of {} bytes are there", path.string(), got,
              bytes.size());
}

void write_file(const fs::path& path, std::span<const std::uint8_t> bytes, bool replace) {
  const fs::path temporary = path.string() + fmt::format(".{}.tmp", ::getpid());
  const auto fail = [&](int error) {
    ::unlink(temporary.c_str());
    throw_system_error(error, "write", path);
  };
  File file(std::fopen(temporary.c_str(), "wbx"));
  if (!file) throw_system_error(errno, "write", path);
  // Of no bytes there may be no address, which fwrite must not be given.
  const std::size_t put = bytes.empty() ? 0 : std::fwrite(bytes.data(), 1, bytes.size(), file.get());
  const bool written =
      put == bytes.size() && std::fflush(file.get()) == 0 && ::fsync(::fileno(file.get())) == 0;
  if (!written) fail(errno);
  if (std::fclose(file.release()) != 0) fail(errno);
  if (replace) {
    if (std::rename(temporary.c_str(), path.c_str()) != 0) fail(errno);
    return;
  }
  // link() refuses an existing name, which rename() would replace.
  if (::link(temporary.c_str(), path.c_str()) != 0) fail(errno);
  ::unlink(temporary.c_str());
}

}  // namespace normlab
