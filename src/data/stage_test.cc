#include "data/stage.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>

#include "base/bounded_queue.h"

namespace hadal {
namespace {

using namespace std::chrono_literals;

TEST(Stage, as_many_threads_work_as_are_wanted) {
  BoundedQueue<int> work(100);
  std::array<std::atomic<int>, 3> pieces{};  // of each worker
  std::atomic<int> begun{0};
  Stage stage(
      "s", 3,
      [&](int worker, StageTimes& times) {
        int value = 0;
        if (work.pop(value) != QueueResult::done) return false;
        if (pieces[static_cast<std::size_t>(worker)]++ == 0) ++begun;
        while (begun < 3) std::this_thread::sleep_for(1ms);  // each does a piece before any does another
        times.samples = value;
        times.busy_seconds = 0.5;
        return true;
      },
      [] { FAIL(); });
  const auto push = [&](int count, std::int64_t samples) {
    for (int i = 0; i < count; ++i) ASSERT_EQ(work.push(2), QueueResult::done);
    while (stage.counters().samples < samples) std::this_thread::sleep_for(1ms);
  };
  stage.set_threads(7);
  EXPECT_EQ(stage.threads(), 3);
  push(60, 120);
  EXPECT_DOUBLE_EQ(stage.counters().busy_seconds, 30);

  stage.set_threads(1);
  const int before[] = {pieces[0], pieces[1], pieces[2]};
  push(60, 240);
  for (const std::size_t worker : {1, 2}) {
    EXPECT_LE(pieces[worker], before[worker] + 1) << "more than what it waited for already";
  }
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
