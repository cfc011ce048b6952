#include "base/sha256.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

std::string digest_of(std::string_view text) { return sha256(std::as_bytes(std::span(text))); }

TEST(Sha256, known_answers_of_fips_180) {
  EXPECT_EQ(digest_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, pieces_give_what_the_whole_gives) {
  const std::string text(10007, 'x');
  Sha256 digest;
  for (std::size_t i = 0; i < text.size(); i += 61) {
    digest.update(std::as_bytes(std::span(text)).subspan(i, std::min<std::size_t>(61, text.size() - i)));
  }
  EXPECT_EQ(digest.finish(), digest_of(text));
}

TEST(Sha256, of_a_file_longer_than_a_piece) {
  const testing::TemporaryFolder folder;
  std::string text((std::size_t{1} << 20) * 2 + 17, 'y');
  text.back() = 'z';
  EXPECT_EQ(sha256_of_file(folder.write("long", text)), digest_of(text));
  EXPECT_EQ(sha256_of_file(folder.write("empty", "")), digest_of(""));
  EXPECT_THROW(sha256_of_file(folder.path("none")), ConfigError);
}

}  // namespace
}  // namespace hadal
