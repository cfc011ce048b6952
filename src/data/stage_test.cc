#include "data/stage.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>

#include "base/bounded_queue.h"

namespace hadal {
namespace {

using namespace std::chrono_literals;

TEST(Stage, as_many_threads_work_as_are_wanted) {
  BoundedQueue<int> work(100);
  std::mutex mutex;
  std::set<int> workers;
  Stage stage(
      "s", 3,
      [&](int worker, StageTimes& times) {
        int value = 0;
        if (work.pop(value) != QueueResult::done) return false;
        const std::lock_guard lock(mutex);
        workers.insert(worker);
        times.samples = value;
        times.busy_seconds = 0.5;
        return true;
      },
      [] { FAIL(); });
  stage.set_threads(7);
  EXPECT_EQ(stage.threads(), 3);
  for (int i = 0; i < 60; ++i) {
    ASSERT_EQ(work.push(2), QueueResult::done);
    std::this_thread::sleep_for(200us);
  }
  while (stage.counters().samples < 120) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(workers.size(), 3u);
  EXPECT_DOUBLE_EQ(stage.counters().busy_seconds, 30);

  stage.set_threads(1);
  // The others rest once each has done the piece that it waits for.
  for (int i = 0; i < 2; ++i) ASSERT_EQ(work.push(2), QueueResult::done);
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(work.push(2), QueueResult::done);
    std::this_thread::sleep_for(200us);
  }
  while (stage.counters().samples < 204) std::this_thread::sleep_for(1ms);
  {
    const std::lock_guard lock(mutex);
    workers.clear();
  }
  for (int i = 0; i < 20; ++i) ASSERT_EQ(work.push(2), QueueResult::done);
  while (stage.counters().samples < 244) std::this_thread::sleep_for(1ms);
  EXPECT_LE(workers.size(), 2u);  // one may have waited for a piece all the time
  work.close();
}

TEST(Stage, what_a_thread_throws_is_told_and_kept) {
  std::atomic<bool> failed{false};
  Stage stage(
      "s", 2, [](int, StageTimes&) -> bool { throw std::runtime_error("it broke"); }, [&] { failed = true; });
  EXPECT_NO_THROW(stage.rethrow());
  stage.set_threads(2);
  while (!failed) std::this_thread::sleep_for(1ms);
  EXPECT_THROW(stage.rethrow(), std::runtime_error);
}

}  // namespace
}  // namespace hadal
