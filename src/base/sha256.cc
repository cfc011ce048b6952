#include "base/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace hadal {

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  HADAL_CHECK(context_ != nullptr);
  HADAL_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::update(std::span<const std::byte> bytes) {
  HADAL_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest;
  unsigned size = 0;
  HADAL_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1 && size == digest.size());
  std::string text;
  for (const unsigned char byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.finish();
}

std::string sha256_of_file(const std::string& path) {
  const InputFile file(path);
  std::vector<std::byte> piece(std::size_t{1} << 20);
  Sha256 digest;
  for (std::uint64_t offset = 0; offset < file.size(); offset += piece.size()) {
    const std::size_t bytes = std::min<std::uint64_t>(piece.size(), file.size() - offset);
    file.read(offset, {piece.data(), bytes});
    digest.update({piece.data(), bytes});
  }
  return digest.finish();
}

}  // namespace hadal
