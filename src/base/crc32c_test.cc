#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace hadal {
namespace {

using Function = std::uint32_t (*)(std::span<const std::byte>, std::uint32_t);

class Crc32c : public ::testing::TestWithParam<Function> {
 protected:
  static std::uint32_t of(std::string_view text, std::uint32_t previous = 0) {
    return GetParam()(std::as_bytes(std::span(text)), previous);
  }
};

std::string count_up() {
  std::string text;
  for (int i = 0; i < 32; ++i) text += static_cast<char>(i);
  return text;
}

TEST_P(Crc32c, known_answers_of_rfc_3720) {
  EXPECT_EQ(of(""), 0u);
  EXPECT_EQ(of("123456789"), 0xE3069283u);
  EXPECT_EQ(of(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(of(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(of(count_up()), 0x46DD794Eu);
}

TEST_P(Crc32c, goes_on_from_a_previous_checksum_at_any_length) {
  const std::string text = count_up() + "and a tail";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(of(text.substr(cut), of(text.substr(0, cut))), of(text)) << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(ways, Crc32c, ::testing::Values(&crc32c, &crc32c_by_table),
                         [](const auto& way) { return way.index == 0 ? "default_way" : "by_table"; });

}  // namespace
}  // namespace hadal
