#include "tensor/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hadal {
namespace {

float through(float value) { return static_cast<float>(Bf16(value)); }

TEST(Bf16, keeps_what_it_can_hold) {
  for (const float value : {0.0f, -0.0f, 1.0f, -2.5f, 0x1.fep127f, 0x1p-126f, 0x1p-133f}) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(through(value)), std::bit_cast<std::uint32_t>(value)) << value;
  }
}

TEST(Bf16, rounds_to_the_nearest_and_halves_to_even) {
  EXPECT_EQ(through(1 + 0x1p-9f), 1.0f);
  EXPECT_EQ(through(1 + 0x1p-8f), 1.0f);             // a half: 1 is even
  EXPECT_EQ(through(1 + 0x1.8p-7f), 1 + 0x1p-6f);    // a half: 1 + 2^-7 is odd
  EXPECT_EQ(through(1 + 0x1.001p-8f), 1 + 0x1p-7f);  // a little more than a half
  EXPECT_EQ(through(-1 - 0x1.001p-8f), -1 - 0x1p-7f);
}

TEST(Bf16, ends_of_the_range) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(through(infinity), infinity);
  EXPECT_EQ(through(-infinity), -infinity);
  EXPECT_EQ(through(std::numeric_limits<float>::max()), infinity);
  EXPECT_TRUE(std::isnan(through(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(through(std::bit_cast<float>(0x7f800001u))));  // its fraction is in the lower half alone
  EXPECT_TRUE(std::isnan(through(std::bit_cast<float>(0xffffffffu))));
}

TEST(Bf16, every_number_survives) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    Bf16 number;
    number.bits = static_cast<std::uint16_t>(bits);
    const auto value = static_cast<float>(number);
    if (std::isnan(value)) continue;
    EXPECT_EQ(Bf16(value).bits, number.bits);
  }
}

}  // namespace
}  // namespace hadal
