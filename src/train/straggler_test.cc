#include "train/straggler.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

Plan plan_of(const std::vector<std::int64_t>& rows) {
  Plan plan;
  std::int64_t first = 0;
  for (const std::int64_t count : rows) {
    plan.devices.push_back({"fake:" + std::string(1, static_cast<char>('0' + plan.devices.size())), 0});
    plan.device_rows.push_back({first, count, {}});
    first += count;
  }
  return plan;
}

std::vector<DeviceUse> uses_of(const std::vector<double>& compute_seconds) {
  std::vector<DeviceUse> uses;
  for (const double seconds : compute_seconds) {
    uses.emplace_back();
    uses.back().compute_seconds = seconds;
  }
  return uses;
}

TEST(Straggler, is_who_takes_longer_for_a_row_than_the_others) {
  const Plan plan = plan_of({10, 10, 10, 10});
  const auto slow = find_straggler(plan, uses_of({1, 2, 1.1, 0.9}), 100);
  ASSERT_TRUE(slow);
  EXPECT_EQ(slow->device, 1);
  EXPECT_NEAR(slow->slowdown, 2, 1e-12);
  EXPECT_NEAR(slow->step_seconds, 0.01, 1e-12);
  EXPECT_EQ(
      describe(*slow, plan),
      "fake:1 is slow: its kernels take 2.0 times as long as the other devices'; at their speed a step would take "
      "10.0 ms less");
}

TEST(Straggler, is_nobody_where_all_are_as_fast) {
  EXPECT_FALSE(find_straggler(plan_of({10, 10, 10}), uses_of({1, 1.2, 1.4}), 100));
  EXPECT_FALSE(find_straggler(plan_of({10, 20, 10}), uses_of({1, 2, 1}), 100));  // it has twice the rows
  EXPECT_FALSE(find_straggler(plan_of({10}), uses_of({1}), 100));
  EXPECT_FALSE(find_straggler(plan_of({10, 0}), uses_of({1, 0}), 100));  // it has no rows
  EXPECT_FALSE(find_straggler(plan_of({10, 10}), uses_of({1, 2}), 5));   // chance
}

}  // namespace
}  // namespace hadal
