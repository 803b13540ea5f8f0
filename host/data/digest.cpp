#include "host/data/digest.hpp"

#include <openssl/evp.h>

#include <array>

#include "layers/error.hpp"

namespace normlab {

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Digest::Digest(Kind kind) : state_(std::make_unique<State>()) {
  const EVP_MD* method = kind == Kind::md5 ? EVP_md5() : EVP_sha256();
  if (EVP_DigestInit_ex(state_->context, method, nullptr) != 1) {
    throw Error("libcrypto offers no {} here (a FIPS-only OpenSSL configuration? see openssl.cnf)",
                kind == Kind::md5 ? "MD5" : "SHA-256");
  }
}

Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
Digest::~Digest() = default;

void Digest::add(std::span<const std::uint8_t> bytes) {
  if (EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) != 1) {
    throw Error("libcrypto failed to add {} bytes to a checksum", bytes.size());
  }
}

std::string Digest::hex() && {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(state_->context, bytes.data(), &size) != 1) {
    throw Error("libcrypto failed to finish a checksum");
  }
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace normlab
