#include "data/element.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "data/npy_writer.h"

namespace hadal {
namespace {

// At an odd address, as files may have them.
template <class T>
std::vector<float> floats(Element element, const std::vector<T>& numbers) {
  const std::string bytes = fmt::format("x{}", bytes_of_values(numbers));
  std::vector<float> values(numbers.size());
  to_floats(element, reinterpret_cast<const std::byte*>(bytes.data() + 1), values);
  return values;
}

TEST(Element, numbers_become_floats) {
  EXPECT_EQ(floats<float>(Element::f32, {1.5f, -0.25f}), (std::vector<float>{1.5f, -0.25f}));
  EXPECT_EQ(floats<double>(Element::f64, {1.5, 0.1}), (std::vector<float>{1.5f, 0.1f}));
  EXPECT_EQ(floats<std::int8_t>(Element::i8, {-128, 127}), (std::vector<float>{-128, 127}));
  EXPECT_EQ(floats<std::uint8_t>(Element::u8, {0, 51, 255}), (std::vector<float>{0, 0.2f, 1}));
  EXPECT_EQ(floats<std::int16_t>(Element::i16, {-300}), (std::vector<float>{-300}));
  EXPECT_EQ(floats<std::uint16_t>(Element::u16, {65535}), (std::vector<float>{65535}));
  EXPECT_EQ(floats<std::int32_t>(Element::i32, {-70000}), (std::vector<float>{-70000}));
  EXPECT_EQ(floats<std::uint32_t>(Element::u32, {4000000000}), (std::vector<float>{4e9f}));
  EXPECT_EQ(floats<std::int64_t>(Element::i64, {-5}), (std::vector<float>{-5}));
  EXPECT_EQ(floats<std::uint64_t>(Element::u64, {5}), (std::vector<float>{5}));
  EXPECT_EQ(floats<std::uint16_t>(Element::bf16, {0x3fc0, 0xbe80}), (std::vector<float>{1.5f, -0.25f}));
}

TEST(Element, every_half_is_its_value) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
    const float value = floats<std::uint16_t>(Element::f16, {static_cast<std::uint16_t>(bits)})[0];
    if (exponent == 31) {
      EXPECT_EQ(std::isinf(value), fraction == 0);
      EXPECT_EQ(std::isnan(value), fraction != 0);
      continue;
    }
    const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    ASSERT_EQ(value, bits >= 32768 ? -magnitude : magnitude) << bits;
  }
}

template <class T>
std::size_t find_bad(Element element, std::size_t count, std::size_t at, T bad) {
  std::vector<T> numbers(count, T(1));
  if (at < count) numbers[at] = bad;
  return first_not_finite(element, reinterpret_cast<const std::byte*>(numbers.data()), count);
}

TEST(Element, what_is_not_finite_is_found) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::size_t at : {0u, 1u, 1023u, 1024u, 2999u, 3000u}) {  // 3000: none is there
    EXPECT_EQ(find_bad<float>(Element::f32, 3000, at, infinity), at);
    EXPECT_EQ(find_bad<float>(Element::f32, 3000, at, std::nanf("")), at);
    EXPECT_EQ(find_bad<double>(Element::f64, 3000, at, 1e300), at);
    EXPECT_EQ(find_bad<std::uint16_t>(Element::f16, 3000, at, 0xfc00), at);
    EXPECT_EQ(find_bad<std::uint16_t>(Element::bf16, 3000, at, 0x7fc1), at);
    EXPECT_EQ(find_bad<std::int32_t>(Element::i32, 3000, at, -1), 3000u);
  }
}

TEST(Element, whole_numbers) {
  const std::vector<std::uint64_t> large{UINT64_MAX, 7};
  const auto* const bytes = reinterpret_cast<const std::byte*>(large.data());
  EXPECT_EQ(whole_at(Element::u64, bytes, 0), INT64_MAX);
  EXPECT_EQ(whole_at(Element::i64, bytes, 0), -1);
  EXPECT_EQ(whole_at(Element::i8, bytes, 3), -1);
  EXPECT_EQ(whole_at(Element::u16, bytes, 4), 7);
}

TEST(Element, names) {
  EXPECT_EQ(element_of_numpy("<f4"), Element::f32);
  EXPECT_EQ(element_of_numpy("<u1"), Element::u8);
  EXPECT_EQ(element_of_numpy(">f4"), std::nullopt);
  EXPECT_EQ(element_of_numpy(""), std::nullopt);
  EXPECT_EQ(element_of_safetensors("BF16"), Element::bf16);
  EXPECT_EQ(element_of_safetensors("BOOL"), std::nullopt);
}

}  // namespace
}  // namespace hadal
