#include "host/data/archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "host/data/digest.hpp"
#include "host/system/paths.hpp"
#include "host/system/system_error.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

struct Closer {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, Closer>;

[[noreturn]] void fail(archive* a, const fs::path& path) {
  const char* why = a == nullptr ? "libarchive has no memory" : archive_error_string(a);
  throw Error("cannot read {}: {}; remove it and get it again with `dataset fetch`", path.string(),
              why != nullptr ? why : "damaged archive");
}

Reader open(const fs::path& path) {
  Reader reader(archive_read_new());
  archive* const a = reader.get();
  if (a == nullptr || archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
      archive_read_support_format_tar(a) != ARCHIVE_OK ||
      archive_read_open_filename(a, path.c_str(), 1 << 16) != ARCHIVE_OK) {
    fail(a, path);
  }
  return reader;
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
    if (bytes.size() + as_size(got) > limit) {
      throw Error(
          "{}: its member {} is larger than the {} bytes such a file has; it is not the set's archive",
          path.string(), name, limit);
    }
    bytes.insert(bytes.end(), block.begin(), block.begin() + got);
  }
}

/// Throws Error where this is another kind of file, or the archive of another version of CIFAR.
void check_kind(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw_system_error(errno, "read", path, Access::read);
  char magic[2] = {};
  file.read(magic, 2);
  const bool is_called_so = path.extension() == ".gz" || path.extension() == ".tgz";
  if (!is_called_so && (magic[0] != '\x1f' || magic[1] != '\x8b')) {
    throw Error(
        "{} is no .tar.gz archive; give cifar-10-binary.tar.gz, cifar-100-binary.tar.gz, or a directory with "
        "the files of a set",
        path.string());
  }
  const Reader reader(archive_read_new());
  archive_entry* entry = nullptr;
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_tar(reader.get());
  // Of a cut archive the beginning can be read.
  if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) return;
  for (int members = 0; members < 3 && archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK;
       ++members) {
    const char* const name = archive_entry_pathname(entry);
    if (const std::string version = cifar::other_version(name == nullptr ? "" : name); !version.empty())
      throw Error("{} is {}", path.string(), version);
  }
}

}  // namespace

ArchiveSpec archive_of(const std::string& set) {
  if (set == "cifar10") return {};
  if (set != "cifar100") throw UsageError("'{}' is no set with an archive; choose cifar10 or cifar100", set);
  // The size and the MD5 are those that the home page of the set and programs that read it give.
  return {"cifar-100-binary.tar.gz",
          "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
          168'513'733,
          "03b5dce01913d631647c71ecec9e9cb8",
          0,
          &cifar::cifar100()};
}

void verify_archive(const fs::path& path, const ArchiveSpec& spec) {
  const std::uint64_t size = bytes_in(path);
  const std::string_view title = spec.layout->title;
  const std::string remedy = fmt::format(
      "move it away and get it with `dataset fetch {} DIR`; a set of your own goes in a directory",
      spec.layout->name);
  if (size != spec.bytes) {
    check_kind(path);
    throw Error("{} has {} bytes, the {} archive {}{}: {}", path.string(), size, title, spec.bytes,
                size < spec.bytes ? " (a truncated download?)" : "", remedy);
  }
  Digest digest(Digest::Kind::md5);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw_system_error(errno, "read", path, Access::read);
  std::vector<char> block(1 << 18);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0) {
    digest.add({reinterpret_cast<const std::uint8_t*>(block.data()), as_size(file.gcount())});
  }
  if (file.bad()) throw Error("cannot read {} to its end", path.string());
  const std::string md5 = std::move(digest).hex();
  if (md5 != spec.md5) {
    throw Error("{} has the MD5 {}, the {} archive {}: it is damaged or another file; {}", path.string(), md5,
                title, spec.md5, remedy);
  }
}

void for_each_member(const fs::path& path, const ArchiveSpec& spec,
                     const std::function<void(const std::string&, std::span<const std::uint8_t>)>& sink) {
  constexpr std::uint64_t largest_text = 1 << 16;
  const cifar::Layout& layout = *spec.layout;
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
    const auto part = std::find_if(layout.files.begin(), layout.files.end(),
                                   [&](const cifar::File& file) { return file.name == name; });
    const bool is_part = part != layout.files.end();
    if (!is_part && name != layout.names_file) continue;
    if (!seen.insert(name).second) throw Error("{} holds {} twice", path.string(), name);
    const std::uint64_t limit = is_part ? static_cast<std::uint64_t>(spec.records_of(*part)) *
                                              static_cast<std::uint64_t>(layout.record_bytes())
                                        : largest_text;
    sink(name, read_member(reader.get(), limit, name, path));
  }
  for (const cifar::File& part : layout.files) {
    if (seen.count(std::string(part.name)) == 0)
      throw Error("{} does not hold {}: not {}'s archive", path.string(), part.name, layout.title);
  }
}

Dataset read_archive(const fs::path& path, const ArchiveSpec& spec) {
  verify_archive(path, spec);
  const cifar::Layout& layout = *spec.layout;
  Dataset dataset;
  dataset.name = layout.name;
  dataset.source = path.string();
  dataset.class_names.assign(layout.labels.begin(), layout.labels.end());
  // Members come in any order; the images are kept in that of the files' names.
  std::map<std::string, std::vector<std::uint8_t>, std::less<>> parts;
  const auto place = [&](std::string_view name) { return fmt::format("{}:{}", path.string(), name); };
  for_each_member(path, spec, [&](const std::string& name, std::span<const std::uint8_t> bytes) {
    if (name == layout.names_file) {
      dataset.class_names =
          cifar::parse_class_names(layout, std::string(bytes.begin(), bytes.end()), place(name));
    } else {
      parts[name].assign(bytes.begin(), bytes.end());
    }
  });
  Digest digest(Digest::Kind::sha256);
  for (const cifar::File& part : layout.files) {
    const auto found = parts.find(part.name);
    digest.add(found->second);
    cifar::append_records(&part == &layout.files.back() ? dataset.test : dataset.train, layout, found->second,
                          spec.records_of(part), place(part.name));
    parts.erase(found);
  }
  dataset.digest = std::move(digest).hex();
  return dataset;
}

Dataset read_archive(const fs::path& path) {
  const ArchiveSpec ten = archive_of("cifar10"), hundred = archive_of("cifar100");
  const std::uint64_t size = bytes_in(path);
  const bool named_hundred = path.filename().string().find("100") != std::string::npos;
  return read_archive(path, size == hundred.bytes || (named_hundred && size != ten.bytes) ? hundred : ten);
}

}  // namespace normlab
