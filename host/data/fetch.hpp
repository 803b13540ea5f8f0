#pragma once
// Getting CIFAR-10 or CIFAR-100 onto this disk: from a local copy when there is one, else from its home page.

#include <filesystem>
#include <string>

#include "host/data/archive.hpp"
#include "host/data/download.hpp"

namespace normlab {

struct FetchOptions {
  ArchiveSpec archive;         ///< what must arrive
  std::filesystem::path from;  ///< a local copy of the archive; empty: look in the directory, then download
  /// The URL may be empty (the archive's own); the size is always the archive's.
  DownloadOptions download;
};

struct FetchResult {
  std::filesystem::path folder;  ///< where the .bin files are
  std::string told;              ///< what was done, one sentence
};

/// Makes DIR/cifar-10-batches-bin (DIR/cifar-100-binary) hold the set. In this order: a complete set there is
/// left alone (and compared with the archive when that is at hand); an archive in DIR, or `from`, is verified
/// and unpacked; else it is downloaded to DIR/<file>.part, verified, renamed to DIR/<file>, unpacked. A file
/// that differs from what the archive holds is never overwritten: that is an Error. Doing it again does
/// nothing. Throws Error with what to do when the host is slow or absent.
FetchResult fetch_set(const std::filesystem::path& directory, const FetchOptions& options = {});

}  // namespace normlab
