#include "base/ordered_queue.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/owned_thread.h"

namespace hadal {
namespace {

TEST(OrderedQueue, gives_values_in_the_order_of_their_tickets_whoever_pushes) {
  constexpr std::uint64_t kCount = 2000;
  OrderedQueue<std::uint64_t> queue(3);
  std::atomic<std::uint64_t> next{0};
  std::vector<std::unique_ptr<OwnedThread>> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(std::make_unique<OwnedThread>([&] {
      for (std::uint64_t ticket = next++; ticket < kCount; ticket = next++) {
        if (ticket % 7 == 0) std::this_thread::yield();
        ASSERT_EQ(queue.push(ticket, 10 * ticket), QueueResult::done);
      }
    }));
  }
  queue.finish(kCount);
  std::uint64_t value = 0, ticket = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(queue.pop(value, ticket), QueueResult::done);
    EXPECT_EQ(ticket, i);
    EXPECT_EQ(value, 10 * i);
  }
  EXPECT_EQ(queue.pop(value, ticket), QueueResult::closed);
}

TEST(OrderedQueue, holds_no_more_than_its_capacity) {
  OrderedQueue<int> queue(2);
  ASSERT_EQ(queue.push(1, 11), QueueResult::done);
  ASSERT_EQ(queue.push(0, 10), QueueResult::done);
  std::atomic<bool> pushed{false};
  OwnedThread thread([&] {
    static_cast<void>(queue.push(2, 12));
    pushed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(pushed);
  EXPECT_EQ(queue.size(), 2u);
  int value = 0;
  std::uint64_t ticket = 0;
  ASSERT_EQ(queue.pop(value, ticket), QueueResult::done);
  thread.join();
  EXPECT_TRUE(pushed);
}

TEST(OrderedQueue, close_ends_all_waits) {
  OrderedQueue<int> queue(1);
  OwnedThread popper([&] {
    int value = 0;
    std::uint64_t ticket = 0;
    EXPECT_EQ(queue.pop(value, ticket), QueueResult::closed);
  });
  OwnedThread pusher([&] { EXPECT_EQ(queue.push(1, 0), QueueResult::closed); });  // ticket 0 never comes
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  queue.close();
  popper.join();
  pusher.join();
}

}  // namespace
}  // namespace hadal
