#include "base/owned_thread.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/bounded_queue.h"
#include "base/error.h"

namespace hadal {
namespace {

TEST(OwnedThread, join_carries_the_exception_out_each_time) {
  OwnedThread thread([] { throw DataError("sample 3 is bad"); });
  EXPECT_THROW(thread.join(), DataError);
  try {
    thread.join();
    FAIL() << "join() must throw again";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(), "sample 3 is bad");
  }
}

TEST(OwnedThread, what_the_body_wrote_is_there_after_join) {
  int value = 0;
  OwnedThread thread([&] { value = 42; });
  thread.join();
  EXPECT_EQ(value, 42);
  EXPECT_NO_THROW(thread.join());
}

TEST(OwnedThread, the_destructor_waits_and_drops_the_exception) {
  std::atomic<bool> ended{false};
  BoundedQueue<int> queue(1);
  {
    const OwnedThread thread([&] {
      int value = 0;
      EXPECT_EQ(queue.pop(value), QueueResult::closed);
      ended = true;
      throw DataError("nobody asks");
    });
    queue.close();
  }
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace hadal
