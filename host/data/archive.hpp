#pragma once
// The archives that CIFAR-10 and CIFAR-100 are published as: their identity, and reading their members
// without unpacking them.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "host/data/cifar.hpp"
#include "host/data/dataset.hpp"

namespace normlab {

/// What an archive must be to be believed. Tests bring their own.
struct ArchiveSpec {
  std::string file = "cifar-10-binary.tar.gz";
  std::string url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
  std::uint64_t bytes = 170'052'171;
  std::string md5 = "c32a1d4ab5d03f1284b67883e8d87530";
  int records = 0;  ///< in each .bin file; 0: those of the official set
  const cifar::Layout* layout = &cifar::cifar10();

  [[nodiscard]] int records_of(const cifar::File& part) const { return records > 0 ? records : part.records; }
};

/// "cifar10" or "cifar100". Throws UsageError for anything else.
ArchiveSpec archive_of(const std::string& set);

/// Throws Error unless `path` has the size and the MD5 of `spec`; the error says what it has instead and what
/// to do.
void verify_archive(const std::filesystem::path& path, const ArchiveSpec& spec);

/// Calls `sink(name, bytes)` for each member that belongs to the set (the .bin files and the class names),
/// in the archive's order. Directories in member names are ignored, other members are skipped, no member
/// takes more memory than a file of the set has. Throws Error: a damaged archive, a member twice, one
/// missing.
void for_each_member(
    const std::filesystem::path& path, const ArchiveSpec& spec,
    const std::function<void(const std::string& name, std::span<const std::uint8_t> bytes)>& sink);

/// Verifies and reads an archive straight into memory. Throws Error.
Dataset read_archive(const std::filesystem::path& path, const ArchiveSpec& spec);
/// The same, of the set that the file's size or, failing that, its name speaks for.
Dataset read_archive(const std::filesystem::path& path);

}  // namespace normlab
