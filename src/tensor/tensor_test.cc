#include "tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "base/error.h"

namespace hadal {
namespace {

TEST(Shape, elements_are_the_product_of_the_dimensions) {
  EXPECT_EQ(elements({}), 1);
  EXPECT_EQ(elements({7}), 7);
  EXPECT_EQ(elements({2, 3, 4, 5}), 120);
  EXPECT_EQ(elements({2, 0, 4}), 0);
  EXPECT_EQ(elements({std::int64_t{1} << 31, std::int64_t{1} << 31}), std::int64_t{1} << 62);
}

TEST(Shape, a_product_that_does_not_fit_is_a_data_error) {
  const std::int64_t two_to_32 = std::int64_t{1} << 32;
  EXPECT_THROW(elements({two_to_32, std::int64_t{1} << 31}), DataError);            // fits 64 bits, past the limit
  EXPECT_THROW(elements({two_to_32, two_to_32, two_to_32, two_to_32}), DataError);  // wraps to 0
  EXPECT_THROW(elements({INT64_MAX, 3}), DataError);
  EXPECT_THROW(elements({3, -1}), DataError);
  EXPECT_THAT(
      [] {
        elements({INT64_MAX, 2});
      },
      ::testing::ThrowsMessage<DataError>("shape [9223372036854775807, 2] is too large"));
}

TEST(Shape, text) {
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ(to_string(Shape{5}), "[5]");
  EXPECT_EQ(to_string(Shape{1, 28, 28}), "[1, 28, 28]");
}

TEST(DType, sizes) {
  EXPECT_EQ(size_of(DType::f32), sizeof(float));
  EXPECT_EQ(size_of(DType::f64), sizeof(double));
  EXPECT_EQ(size_of(DType::i32), sizeof(std::int32_t));
  EXPECT_EQ(size_of(DType::bf16), 2u);
  EXPECT_EQ(size_of(DType::u8), 1u);
}

}  // namespace
}  // namespace hadal
