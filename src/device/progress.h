#pragma once
// A number that only grows, and threads that wait until it has grown far enough.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace hadal {

using Clock = std::chrono::steady_clock;

// Begins at 0. One thread at a time advances it; any thread may wait. Who saw a value sees what was written before it
// was reached. Outlives the last advance(), which may still be waking others when a waiter goes on.
class Progress {
 public:
  std::uint64_t value() const { return value_.load(std::memory_order_acquire); }

  void advance(std::uint64_t value);

  // Both spin for up to 60 microseconds, then sleep until woken. wait_until() says whether `value` was reached in time.
  void wait(std::uint64_t value);
  [[nodiscard]] bool wait_until(std::uint64_t value, Clock::time_point until);

 private:
  bool spin(std::uint64_t value) const;

  std::atomic<std::uint64_t> value_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace hadal
