#include "host/data/archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "host/data/digest.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

struct Closer {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, Closer>;

[[noreturn]] void fail(archive* a, const fs::path& path) {
  const char* why = archive_error_string(a);
  throw Error("cannot read {}: {}; remove it and get it again with `dataset fetch cifar10 DIR`",
              path.string(), why != nullptr ? why : "damaged archive");
}

Reader open(const fs::path& path) {
  Reader reader(archive_read_new());
  archive* const a = reader.get();
  if (a == nullptr) throw Error("libarchive has no memory to read {}", path.string());
  if (archive_read_support_filter_gzip(a) != ARCHIVE_OK || archive_read_support_format_tar(a) != ARCHIVE_OK ||
      archive_read_open_filename(a, path.c_str(), 1 << 16) != ARCHIVE_OK) {
    fail(a, path);
  }
  return reader;
}

bool is_batch(const std::string& name) {
  return std::find(cifar10::files.begin(), cifar10::files.end(), name) != cifar10::files.end();
}

/// The current member's bytes. What the header claims is not believed: memory grows with what is read, and
/// stops at `limit`.
std::vector<std::uint8_t> read_member(archive* a, std::uint64_t limit, const std::string& name,
                                      const fs::path& path) {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> block(1 << 18);
  for (;;) {
    const la_ssize_t got = archive_read_data(a, block.data(), block.size());
    if (got < 0) fail(a, path);
    if (got == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(got) > limit) {
      throw Error(
          "{}: its member {} is larger than the {} bytes such a file has; it is not CIFAR-10's archive",
          path.string(), name, limit);
    }
    bytes.insert(bytes.end(), block.begin(), block.begin() + got);
  }
}

}  // namespace

void verify_archive(const fs::path& path, const ArchiveSpec& spec) {
  std::error_code failed;
  const std::uintmax_t size = fs::file_size(path, failed);
  if (failed) throw Error("cannot read {}: {}", path.string(), failed.message());
  constexpr const char* remedy =
      "move it away and get it with `dataset fetch cifar10 DIR`; a set of your own goes in a directory";
  if (size != spec.bytes) {
    throw Error("{} has {} bytes, the CIFAR-10 archive {}{}: {}", path.string(), size, spec.bytes,
                size < spec.bytes ? " (a truncated download?)" : "", remedy);
  }
  Digest digest(Digest::Kind::md5);
  std::ifstream file(path, std::ios::binary);
  std::vector<char> block(1 << 18);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0) {
    digest.add(
        {reinterpret_cast<const std::uint8_t*>(block.data()), static_cast<std::size_t>(file.gcount())});
  }
  if (file.bad()) throw Error("cannot read {} to its end", path.string());
  const std::string md5 = std::move(digest).hex();
  if (md5 != spec.md5) {
    throw Error("{} has the MD5 {}, the CIFAR-10 archive {}: it is damaged or another file; {}",
                path.string(), md5, spec.md5, remedy);
  }
}

void for_each_member(const fs::path& path, const ArchiveSpec& spec,
                     const std::function<void(const std::string&, std::span<const std::uint8_t>)>& sink) {
  constexpr std::uint64_t largest_text = 1 << 16;
  const Reader reader = open(path);
  std::set<std::string> seen;
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail(reader.get(), path);
    const char* const full = archive_entry_pathname(entry);
    if (full == nullptr || archive_entry_filetype(entry) != AE_IFREG) continue;
    const std::string name = fs::path(full).filename().string();
    if (!is_batch(name) && name != cifar10::names_file) continue;
    if (!seen.insert(name).second) throw Error("{} holds {} twice", path.string(), name);
    const std::uint64_t limit =
        is_batch(name) ? static_cast<std::uint64_t>(spec.records) * cifar10::record_bytes : largest_text;
    sink(name, read_member(reader.get(), limit, name, path));
  }
  for (const std::string_view name : cifar10::files) {
    if (seen.count(std::string(name)) == 0)
      throw Error("{} does not hold {}: not CIFAR-10's archive", path.string(), name);
  }
}

Dataset read_archive(const fs::path& path, const ArchiveSpec& spec) {
  verify_archive(path, spec);
  Dataset dataset;
  dataset.name = "cifar10";
  dataset.source = path.string();
  dataset.class_names = cifar10::default_class_names();
  // Members come in any order; the training images are kept in that of the files' names.
  std::map<std::string, Images> parts;
  for_each_member(path, spec, [&](const std::string& name, std::span<const std::uint8_t> bytes) {
    const std::string where = path.string() + ":" + name;
    if (name == cifar10::names_file) {
      dataset.class_names = cifar10::parse_class_names({bytes.begin(), bytes.end()}, where);
    } else {
      cifar10::append_records(parts[name], bytes, spec.records, where);
    }
  });
  for (const std::string_view name : cifar10::files) {
    const Images part = std::move(parts[std::string(name)]);
    Images& images = name == cifar10::files.back() ? dataset.test : dataset.train;
    images.count += part.count;
    images.labels.insert(images.labels.end(), part.labels.begin(), part.labels.end());
    images.pixels.insert(images.pixels.end(), part.pixels.begin(), part.pixels.end());
    parts.erase(std::string(name));
  }
  dataset.digest = dataset_digest(dataset);
  return dataset;
}

}  // namespace normlab
