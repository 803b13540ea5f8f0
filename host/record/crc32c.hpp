#pragma once
// CRC32C (Castagnoli), the checksum of iSCSI (RFC 3720), of the metric log and of every stored tensor.

#include <cstddef>
#include <cstdint>
#include <span>

namespace normlab {

/// The CRC32C of `bytes`. To checksum in pieces, hand each call the result of the call before as `crc`.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);

/// The same from tables, on any CPU; crc32c() takes the CPU's own instruction where there is one.
[[nodiscard]] std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace normlab
