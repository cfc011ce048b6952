#pragma once
// A first-in, first-out queue of limited length between threads.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"

namespace hadal {

enum class QueueResult { done, closed, deadline };

// Thread-safe. Allocates when it is made and never again. T is default-constructible and movable.
//
// A wait without a deadline belongs to a thread whose owner closes the queue to end it.
template <typename T>
class BoundedQueue {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  explicit BoundedQueue(std::size_t capacity) : ring_(capacity) { HADAL_CHECK(capacity > 0); }

  // Waits for room. `value` is dropped unless the result is `done`.
  [[nodiscard]] QueueResult push(T value, Deadline deadline = Deadline::max()) {
    std::unique_lock lock(mutex_);
    if (!not_full_.wait_until(lock, deadline, [&] { return closed_ || size_ < ring_.size(); })) {
      return QueueResult::deadline;
    }
    if (closed_) return QueueResult::closed;
    ring_[(first_ + size_) % ring_.size()] = std::move(value);
    ++size_;
    lock.unlock();
    not_empty_.notify_one();
    return QueueResult::done;
  }

  // Waits for a value. What was pushed before close() still comes out; then the result is `closed`.
  [[nodiscard]] QueueResult pop(T& value, Deadline deadline = Deadline::max()) {
    std::unique_lock lock(mutex_);
    if (!not_empty_.wait_until(lock, deadline, [&] { return closed_ || size_ > 0; })) return QueueResult::deadline;
    if (size_ == 0) return QueueResult::closed;
    value = std::move(ring_[first_]);
    first_ = (first_ + 1) % ring_.size();
    --size_;
    lock.unlock();
    not_full_.notify_one();
    return QueueResult::done;
  }

  // Ends every wait, now and later.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    not_full_.notify_all();
    not_empty_.notify_all();
  }

  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return size_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable not_full_, not_empty_;
  std::vector<T> ring_;
  std::size_t first_ = 0, size_ = 0;
  bool closed_ = false;
};

// Closes a queue where a thread that fills it ends, however it does.
template <typename T>
class CloseAtEnd {
 public:
  explicit CloseAtEnd(BoundedQueue<T>& queue) : queue_(queue) {}
  ~CloseAtEnd() { queue_.close(); }
  CloseAtEnd(const CloseAtEnd&) = delete;
  CloseAtEnd& operator=(const CloseAtEnd&) = delete;

 private:
  BoundedQueue<T>& queue_;
};

}  // namespace hadal
