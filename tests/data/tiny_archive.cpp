#include "tests/data/tiny_archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include "host/data/digest.hpp"
#include "host/data/files.hpp"

namespace normlab::test {

std::vector<std::uint8_t> tiny_batch(int records, int salt) {
  std::vector<std::uint8_t> bytes;
  for (int record = 0; record < records; ++record) {
    bytes.push_back(static_cast<std::uint8_t>((record + salt) % 10));
    for (int i = 1; i <= cifar::pixel_bytes; ++i) {
      bytes.push_back(static_cast<std::uint8_t>((i * 7 + record * 31 + salt * 101 + i / 251) & 255));
    }
  }
  return bytes;
}

std::vector<Member> tiny_members() {
  std::vector<Member> members;
  int salt = 0;
  for (const auto& [name, records] : cifar::cifar10().files) {
    members.emplace_back(std::string(cifar::cifar10().folder) + "/" + std::string(name),
                         tiny_batch(tiny_records, salt++));
  }
  const std::string names = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n";
  members.emplace_back(std::string(cifar::cifar10().folder) + "/batches.meta.txt",
                       std::vector<std::uint8_t>(names.begin(), names.end()));
  members.emplace_back(std::string(cifar::cifar10().folder) + "/readme.html",
                       std::vector<std::uint8_t>(100, 'r'));
  return members;
}

ArchiveSpec write_archive(const std::filesystem::path& path, const std::vector<Member>& members) {
  archive* const a = archive_write_new();
  archive_write_add_filter_gzip(a);
  archive_write_set_format_pax_restricted(a);
  EXPECT_EQ(archive_write_open_filename(a, path.c_str()), ARCHIVE_OK);
  for (const auto& [name, bytes] : members) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry, name.ends_with('/') ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    EXPECT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
    EXPECT_EQ(archive_write_data(a, bytes.data(), bytes.size()), static_cast<la_ssize_t>(bytes.size()));
    archive_entry_free(entry);
  }
  EXPECT_EQ(archive_write_close(a), ARCHIVE_OK);
  archive_write_free(a);

  ArchiveSpec spec;
  spec.file = path.filename().string();
  const std::vector<std::uint8_t> bytes = read_file(path, 1 << 24);
  spec.bytes = bytes.size();
  Digest md5(Digest::Kind::md5);
  md5.add(bytes);
  spec.md5 = std::move(md5).hex();
  spec.records = tiny_records;
  spec.url = "http://127.0.0.1:1/never";
  return spec;
}

}  // namespace normlab::test
