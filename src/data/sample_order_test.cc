#include "data/sample_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

namespace hadal {
namespace {

std::vector<std::uint32_t> order(const Epoch& epoch, std::size_t size) {
  std::vector<std::uint32_t> samples(size, 12345);
  order_samples(epoch, samples);
  return samples;
}

TEST(SampleOrder, every_sample_comes_once) {
  for (const std::size_t size : {1, 2, 3, 1000}) {
    std::vector<std::uint32_t> samples = order({.seed = 3, .number = 2}, size);
    std::sort(samples.begin(), samples.end());
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(samples[i], i);
  }
}

TEST(SampleOrder, follows_from_seed_and_epoch) {
  EXPECT_EQ(order({.seed = 3, .number = 2}, 100), order({.seed = 3, .number = 2}, 100));
  EXPECT_NE(order({.seed = 3, .number = 2}, 100), order({.seed = 3, .number = 3}, 100));
  EXPECT_NE(order({.seed = 3, .number = 2}, 100), order({.seed = 4, .number = 2}, 100));
}

// A change of these numbers changes every trained model: it needs a version note in docs.
TEST(SampleOrder, stays_what_it_was) {
  EXPECT_THAT(order({.seed = 1, .number = 0}, 8), ::testing::ElementsAre(0, 7, 3, 5, 2, 6, 4, 1));
}

TEST(SampleOrder, sequential_is_the_files_order) {
  EXPECT_THAT(order({.seed = 3, .number = 2, .order = SampleOrder::sequential}, 4), ::testing::ElementsAre(0, 1, 2, 3));
}

TEST(SampleOrder, all_orders_are_equally_likely) {
  std::map<std::vector<std::uint32_t>, int> count;
  for (std::int64_t epoch = 0; epoch < 6000; ++epoch) ++count[order({.seed = 1, .number = epoch}, 3)];
  EXPECT_EQ(count.size(), 6u);
  for (const auto& [samples, times] : count) EXPECT_NEAR(times, 1000, 150);
}

}  // namespace
}  // namespace hadal
