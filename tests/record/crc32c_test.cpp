#include "host/record/crc32c.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <vector>

#include "host/record/file.hpp"

namespace normlab {
namespace {

/// RFC 3720, appendix B.4.
TEST(Crc32c, VectorsOfRfc3720) {
  std::vector<std::byte> bytes(32);
  EXPECT_EQ(crc32c(bytes), 0x8A9136AAU);
  for (auto& byte : bytes) byte = std::byte{0xFF};
  EXPECT_EQ(crc32c(bytes), 0x62A8AB43U);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(bytes), 0x46DD794EU);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(31 - i);
  EXPECT_EQ(crc32c(bytes), 0x113FDB5CU);

  const unsigned char scsi_read[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0,    0, 0, 0, 0,
                                       0x14, 0,    0, 0, 0, 0, 4, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                       0x28, 0,    0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0,    0, 0, 0, 0};
  EXPECT_EQ(crc32c(std::as_bytes(std::span(scsi_read))), 0xD9963A56U);
}

TEST(Crc32c, KnownText) {
  EXPECT_EQ(crc32c({}), 0U);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283U);
}

TEST(Crc32c, TablesInstructionAndPiecesAgree) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(1000);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  for (std::size_t size = 0; size <= bytes.size(); size += 1 + size / 7) {
    const auto some = std::span(bytes).last(size);  // at every alignment
    const std::uint32_t whole = crc32c_portable(some);
    EXPECT_EQ(crc32c(some), whole) << size;
    const std::size_t cut = size == 0 ? 0 : random() % size;
    EXPECT_EQ(crc32c(some.subspan(cut), crc32c(some.first(cut))), whole) << size << " cut at " << cut;
    EXPECT_EQ(crc32c_portable(some.subspan(cut), crc32c(some.first(cut))), whole);
  }
}

}  // namespace
}  // namespace normlab
