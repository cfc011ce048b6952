#include "device/progress.h"

#include <thread>

namespace hadal {

namespace {

// About what a sleep and a wake-up cost, on a virtual machine: a longer spin may lose more than it can win. After the
// first microseconds each turn offers the core to those who have work.
constexpr std::chrono::microseconds kSpin{60}, kSpinAlone{5};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

// The sequentially consistent order of value_ and sleepers_ makes either this see the sleeper, or the sleeper the
// value.
void Progress::advance(std::uint64_t value) {
  value_.store(value, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
  { std::lock_guard lock(mutex_); }  // whoever counted itself and saw the old value is asleep now
  changed_.notify_all();
}

void Progress::wait(std::uint64_t value) {
  if (spin(value)) return;
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  changed_.wait(lock, [&] { return value_.load(std::memory_order_seq_cst) >= value; });
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

bool Progress::wait_until(std::uint64_t value, Clock::time_point until) {
  if (spin(value)) return true;
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  const bool reached =
      changed_.wait_until(lock, until, [&] { return value_.load(std::memory_order_seq_cst) >= value; });
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return reached;
}

bool Progress::spin(std::uint64_t value) const {
  if (this->value() >= value) return true;
  const Clock::time_point begin = Clock::now();
  for (Clock::time_point now = begin; now < begin + kSpin; now = Clock::now()) {
    for (int i = 0; i < 8; ++i) {
      pause();
      if (this->value() >= value) return true;
    }
    if (now > begin + kSpinAlone) std::this_thread::yield();
  }
  return false;
}

}  // namespace hadal
