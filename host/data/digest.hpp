#pragma once
// Checksums of what is read and written: MD5 because the CIFAR-10 archive is published with one, SHA-256 for
// provenance. Both are libcrypto's.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace normlab {

/// A running checksum of a sequence of bytes.
class Digest {
 public:
  enum class Kind : std::uint8_t { md5, sha256 };

  explicit Digest(Kind kind);
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  ~Digest();

  void add(std::span<const std::uint8_t> bytes);

  /// The checksum of everything added, in lower-case hex. The last call.
  [[nodiscard]] std::string hex() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace normlab
