#pragma once
// The archive that CIFAR-10 is published as: its identity, and reading its members without unpacking it.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "host/data/cifar10.hpp"
#include "host/data/dataset.hpp"

namespace normlab {

/// What an archive must be to be believed. Tests bring their own.
struct ArchiveSpec {
  std::string file = "cifar-10-binary.tar.gz";
  std::string url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
  std::uint64_t bytes = 170'052'171;
  std::string md5 = "c32a1d4ab5d03f1284b67883e8d87530";
  int records = cifar10::official_records;  ///< in each .bin file
};

/// Throws Error unless `path` has the size and the MD5 of `spec`; the error says what it has instead and what
/// to do.
void verify_archive(const std::filesystem::path& path, const ArchiveSpec& spec);

/// Calls `sink(name, bytes)` for each member that belongs to the set (the .bin files and batches.meta.txt),
/// in the archive's order. Directories in member names are ignored, other members are skipped, no member
/// takes more memory than a file of the set has. Throws Error: a damaged archive, a member twice, one
/// missing.
void for_each_member(
    const std::filesystem::path& path, const ArchiveSpec& spec,
    const std::function<void(const std::string& name, std::span<const std::uint8_t> bytes)>& sink);

/// Verifies and reads an archive straight into memory. Throws Error.
Dataset read_archive(const std::filesystem::path& path, const ArchiveSpec& spec = {});

}  // namespace normlab
