#include "host/data/fetch.hpp"

#include <algorithm>
#include <system_error>

#include "host/data/files.hpp"
#include "host/system/paths.hpp"
#include "host/system/shell_word.hpp"
#include "host/system/system_error.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

/// Whether all files of the set are in `folder`, whole and with possible labels. A damaged one is an Error.
bool complete(const fs::path& folder, const ArchiveSpec& archive) {
  const cifar::Layout& layout = *archive.layout;
  if (!std::all_of(layout.files.begin(), layout.files.end(),
                   [&](const cifar::File& part) { return is_there(folder / part.name); })) {
    return false;
  }
  for (const cifar::File& part : layout.files) {
    const fs::path path = folder / part.name;
    const int records = archive.records_of(part);
    const auto limit =
        2 * static_cast<std::uint64_t>(records) * static_cast<std::uint64_t>(layout.record_bytes());
    Images unused;
    cifar::append_records(unused, layout, read_file(path, limit), records, path.string());
  }
  return true;
}

/// Unpacks the archive; returns how many files were written. Files that are there already must be equal.
int unpack(const fs::path& archive, const ArchiveSpec& spec, const fs::path& folder) {
  make_directories(folder);
  int written = 0;
  for_each_member(archive, spec, [&](const std::string& name, std::span<const std::uint8_t> bytes) {
    const fs::path path = folder / name;
    if (!is_there(path)) {
      write_file(path, bytes);
      ++written;
      return;
    }
    const std::vector<std::uint8_t> there = read_file(path, UINT64_MAX);
    if (!std::equal(there.begin(), there.end(), bytes.begin(), bytes.end())) {
      throw Error(
          "{} is not the file of that name in {}; nothing is overwritten: move it away and fetch again",
          path.string(), archive.string());
    }
  });
  return written;
}

/// Downloads to FILE.part, verifies, renames to `target`.
void download_archive(const fs::path& target, const FetchOptions& options) {
  const ArchiveSpec& spec = options.archive;
  const fs::path part = target.string() + ".part";
  DownloadOptions request = options.download;
  if (request.url.empty()) request.url = spec.url;
  request.bytes = spec.bytes;
  try {
    // A wrong checksum of a file that came in pieces may come from the seams: then once more, from the start.
    for (bool again = true;; again = false) {
      const bool pieced = download(part, request);
      try {
        verify_archive(part, spec);
        break;
      } catch (const SystemError&) {
        throw;
      } catch (const Error&) {
        std::error_code ignored;
        fs::remove(part, ignored);
        if (pieced && again) continue;
        throw Error("{}: what arrived has {} bytes, as it should, but not the MD5 {}; it was removed",
                    request.url, spec.bytes, spec.md5);
      }
    }
  } catch (const SystemError&) {
    throw;  // the place here, not the server
  } catch (const Error& error) {
    throw Error(
        "{}\nThe home page of {} is often slow or down. What helps:\n"
        "  - run the same command again later: it goes on where it stopped;\n"
        "  - name a mirror: dataset fetch {} {} --url URL;\n"
        "  - bring {} ({} bytes, MD5 {}) from elsewhere: dataset fetch {} {} --from FILE;\n"
        "  - or work without it: --data synthetic.",
        error.what(), spec.layout->title, spec.layout->name, shell_path(target.parent_path()), spec.file,
        spec.bytes, spec.md5, spec.layout->name, shell_path(target.parent_path()));
  }
  std::error_code failed;
  fs::rename(part, target, failed);
  if (failed) throw Error("cannot rename {} to {}: {}", part.string(), target.string(), failed.message());
}

}  // namespace

FetchResult fetch_set(const fs::path& directory, const FetchOptions& options) {
  const fs::path folder = directory / options.archive.layout->folder;
  const fs::path target = directory / options.archive.file;
  fs::path local = options.from;
  if (local.empty() && is_there(target)) local = target;
  if (local.empty() && complete(folder, options.archive)) {
    return {folder, "the set is here already; nothing to do"};
  }
  make_directories(directory);
  if (local.empty()) {
    download_archive(target, options);
    local = target;
  } else {
    verify_archive(local, options.archive);
  }
  const int written = unpack(local, options.archive, folder);
  if (written == 0) return {folder, fmt::format("the set is here already, equal to {}", local.string())};
  return {folder, fmt::format("{} files unpacked from {}", written, local.string())};
}

}  // namespace normlab
