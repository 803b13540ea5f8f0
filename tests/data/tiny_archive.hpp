#pragma once
// Small archives in the layout of CIFAR-10's, honest and otherwise.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "host/data/archive.hpp"
#include "layers/error.hpp"

namespace normlab::test {

inline constexpr int tiny_records = 3;

/// Path in the archive, bytes; a path that ends in / is a directory.
using Member = std::pair<std::string, std::vector<std::uint8_t>>;

/// `records` records whose labels count up and whose pixels depend on `salt`.
std::vector<std::uint8_t> tiny_batch(int records, int salt);

/// The members of a small but complete set.
std::vector<Member> tiny_members();

/// Writes a .tar.gz and returns what its honest description would be.
ArchiveSpec write_archive(const std::filesystem::path& path, const std::vector<Member>& members);

/// Expects `call` to throw Error and returns its words.
template <typename Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

}  // namespace normlab::test

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE((text).find(part), std::string::npos) << "missing '" << (part) << "' in: " << (text)
