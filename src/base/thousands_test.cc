#include "base/thousands.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(Thousands, groups_of_three_from_the_right) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(31204112), "31,204,112");
  EXPECT_EQ(with_thousands(UINT64_MAX), "18,446,744,073,709,551,615");
}

}  // namespace
}  // namespace hadal
