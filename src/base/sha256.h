#pragma once
// SHA-256 (FIPS 180-4), by OpenSSL.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;

namespace hadal {

// The digest of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();

  void update(std::span<const std::byte> bytes);

  // The digest as 64 lower-case hex digits. Ends this object's use.
  std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

std::string sha256(std::span<const std::byte> bytes);

// Throws as InputFile does.
std::string sha256_of_file(const std::string& path);

}  // namespace hadal
