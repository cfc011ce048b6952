#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

namespace hadal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(BoundedQueue, keeps_the_order_around_its_ring) {
  BoundedQueue<int> queue(3);
  int value = 0;
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(queue.push(2 * i), QueueResult::done);
    ASSERT_EQ(queue.push(2 * i + 1), QueueResult::done);
    EXPECT_EQ(queue.size(), 2u);
    ASSERT_EQ(queue.pop(value), QueueResult::done);
    EXPECT_EQ(value, 2 * i);
    ASSERT_EQ(queue.pop(value), QueueResult::done);
    EXPECT_EQ(value, 2 * i + 1);
  }
}

TEST(BoundedQueue, full_and_empty_waits_end_at_their_deadline) {
  BoundedQueue<int> queue(1);
  int value = 5;
  EXPECT_EQ(queue.pop(value, steady_clock::now() + milliseconds(10)), QueueResult::deadline);
  ASSERT_EQ(queue.push(1), QueueResult::done);
  EXPECT_EQ(queue.push(2, steady_clock::now() + milliseconds(10)), QueueResult::deadline);
  ASSERT_EQ(queue.pop(value), QueueResult::done);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(queue.size(), 0u);
}

TEST(BoundedQueue, close_ends_waits_but_keeps_what_was_pushed) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  ASSERT_EQ(queue.push(std::make_unique<int>(7)), QueueResult::done);
  QueueResult blocked = QueueResult::done;
  std::thread producer([&] { blocked = queue.push(std::make_unique<int>(8)); });
  std::this_thread::sleep_for(milliseconds(5));
  queue.close();
  producer.join();
  EXPECT_EQ(blocked, QueueResult::closed);
  std::unique_ptr<int> value;
  ASSERT_EQ(queue.pop(value), QueueResult::done);
  EXPECT_EQ(*value, 7);
  EXPECT_EQ(queue.pop(value), QueueResult::closed);
}

TEST(BoundedQueue, hands_every_value_from_one_thread_to_the_other) {
  constexpr int kCount = 20000;
  BoundedQueue<int> queue(4);
  std::thread producer([&] {
    for (int i = 0; i < kCount; ++i) {
      if (queue.push(i) != QueueResult::done) return;
    }
    queue.close();
  });
  int value = 0, expected = 0;
  while (queue.pop(value) == QueueResult::done) {
    ASSERT_EQ(value, expected++);
    ASSERT_LE(queue.size(), 4u);
  }
  producer.join();
  EXPECT_EQ(expected, kCount);
}

}  // namespace
}  // namespace hadal
