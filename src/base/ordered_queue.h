#pragma once
// A queue of limited length between threads, whose values come out in the order of their tickets, whoever made them.

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"

namespace hadal {

// Thread-safe. Each ticket 0, 1, 2, ... is pushed once. Allocates when it is made and never again. Waits have no
// deadline: they belong to threads whose owner closes the queue to end them.
template <typename T>
class OrderedQueue {
 public:
  explicit OrderedQueue(std::size_t capacity) : ring_(capacity) { HADAL_CHECK(capacity > 0); }

  // Waits until the ticket is at most `capacity` before the next to come out; so the next one itself never waits.
  [[nodiscard]] QueueResult push(std::uint64_t ticket, T value) {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [&] { return closed_ || ticket < first_ + ring_.size(); });
    if (closed_) return QueueResult::closed;
    ring_[ticket % ring_.size()] = std::move(value);
    ++size_;
    if (ticket == first_) not_empty_.notify_all();
    return QueueResult::done;
  }

  // Waits for the next value, and says its ticket. `closed` after finish() or close().
  [[nodiscard]] QueueResult pop(T& value, std::uint64_t& ticket) {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [&] { return closed_ || first_ >= end_ || ring_[first_ % ring_.size()].has_value(); });
    if (closed_ || first_ >= end_) return QueueResult::closed;
    value = *std::exchange(ring_[first_ % ring_.size()], std::nullopt);
    ticket = first_++;
    --size_;
    lock.unlock();
    not_full_.notify_all();
    not_empty_.notify_all();
    return QueueResult::done;
  }

  // There are no tickets from `end` on.
  void finish(std::uint64_t end) {
    {
      const std::lock_guard lock(mutex_);
      end_ = end;
    }
    not_empty_.notify_all();
  }

  // Ends every wait, now and later; what is in the queue is lost.
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
  std::vector<std::optional<T>> ring_;
  std::uint64_t first_ = 0, end_ = std::numeric_limits<std::uint64_t>::max();
  std::size_t size_ = 0;
  bool closed_ = false;
};

}  // namespace hadal
